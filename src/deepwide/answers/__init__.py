"""One typed function for each question a user asks: it joins the rooms below and returns a small frozen dataclass."""

"""What a training step costs: its plan, its work, its traffic, its schedule, its memory."""

from __future__ import annotations

import pytest

import deepwide as dw
from deepwide.errors import BadInput
from deepwide.lab import needs


@pytest.mark.parametrize("ask", [lambda: dw.train(), lambda: dw.resume("a"), lambda: dw.generate("a", "b")])
def test_where_pytorch_is_missing_one_line_says_how_to_get_it(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(BadInput, match=r"^the lab needs torch: pip install 'deepwide\[lab\]'[^\n]*$"):
        ask()

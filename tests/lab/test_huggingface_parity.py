"""The same weights give the same logits in transformers' own classes: exported, imported, padded, cached."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deepwide.answers.models import find_model
from deepwide.lab import build
from deepwide.lab.huggingface import read, write
from deepwide.lab.network import Numerics, Transformer
from deepwide.lab.network.attend import KERNELS
from deepwide.lab.network.cache import Cache

transformers = pytest.importorskip("transformers")
CLOSE = 1e-4
VOCAB = 100
SHAPE = f"layers=2,hidden=64,heads=4,vocab={VOCAB}"
OURS = [
    f"like=llama,{SHAPE},kv_heads=2",
    f"like=llama,{SHAPE},kv_heads=1,head_dim=24,ffn=96,tied,biased",
    f"like=llama,{SHAPE},kv_heads=4,head_dim=8,activation=gelu_new",
    f"like=llama,{SHAPE},kv_heads=2,qk_norm",  # which is Qwen 3
    f"like=qwen2,{SHAPE},kv_heads=2,tied",
    f"like=mistral,{SHAPE},kv_heads=2,window=5",
    f"like=gpt2,{SHAPE},context=32",
    f"like=gpt2,{SHAPE},context=32,untied,ffn=72,activation=relu",
    f"like=bert,{SHAPE},context=32",
    f"like=bert,{SHAPE},context=32,untied",
    f"like=t5,{SHAPE}",
    f"like=t5,{SHAPE},untied,gated,activation=gelu_new,head_dim=24",
]
SMALL = {"vocab_size": VOCAB, "hidden_size": 48, "intermediate_size": 80, "num_attention_heads": 6}
ROPE3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SMALL_T5 = {"vocab_size": VOCAB, "d_model": 48, "d_kv": 16, "d_ff": 80, "num_layers": 2, "num_heads": 3}
# What transformers is asked to build with weights of its own.
THEIRS: list[tuple[str, dict[str, Any]]] = [
    ("llama", {**SMALL, "num_hidden_layers": 2, "num_key_value_heads": 3, "rms_norm_eps": 1e-3}),
    ("llama", {**SMALL, "num_hidden_layers": 2, "rope_theta": 500.0, "head_dim": 12, "attention_bias": True}),
    (
        "llama",
        {
            **SMALL,
            "num_hidden_layers": 2,
            "rope_parameters": {"rope_theta": 100.0, "rope_type": "linear", "factor": 4.0},
        },
    ),
    (
        "llama",
        {
            **SMALL,
            "num_hidden_layers": 2,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_theta": 1e4, **ROPE3, "original_max_position_embeddings": 16},
        },
    ),
    ("mistral", {**SMALL, "num_hidden_layers": 2, "num_key_value_heads": 2, "sliding_window": 4}),
    ("qwen2", {**SMALL, "num_hidden_layers": 3, "num_key_value_heads": 2}),
    (
        "qwen2",
        {
            **SMALL,
            "num_hidden_layers": 3,
            "num_key_value_heads": 2,
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 1,
        },
    ),
    ("qwen3", {**SMALL, "num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 16}),
    ("gpt2", {"vocab_size": VOCAB, "n_embd": 48, "n_layer": 2, "n_head": 3, "n_positions": 40}),
    ("gpt2", {"vocab_size": VOCAB, "n_embd": 48, "n_layer": 2, "n_head": 3, "scale_attn_weights": False}),
    ("bert", {**SMALL, "num_hidden_layers": 2, "max_position_embeddings": 40}),
    ("bert", {**SMALL, "num_hidden_layers": 2, "tie_word_embeddings": False, "type_vocab_size": 3}),
    ("bert", {**SMALL, "num_hidden_layers": 2, "is_decoder": True}),
    ("t5", SMALL_T5),
    ("t5", {**SMALL_T5, "num_decoder_layers": 3, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    ("t5", {**SMALL_T5, "relative_attention_max_distance": 9, "relative_attention_num_buckets": 8}),
]


def name(value: Any) -> str:
    return value.removeprefix("like=").replace(SHAPE, "") if isinstance(value, str) else ""


def kind(model: Transformer) -> str:
    if len(model.stack_names) > 1:
        return "Seq2SeqLM"
    return "CausalLM" if model.architecture.main.causal else "MaskedLM"


def quiet(function: Any, *arguments: Any, **options: Any) -> Any:
    with contextlib.redirect_stderr(io.StringIO()):
        return function(*arguments, **options)


def loaded(folder: Path, model: Transformer) -> Any:
    """The model as transformers loads it, with nothing missing and nothing left over."""
    auto = getattr(transformers, f"AutoModelFor{kind(model)}")
    theirs, report = quiet(auto.from_pretrained, folder, output_loading_info=True)
    assert {} == {key: value for key, value in report.items() if value}
    return theirs.eval()


@torch.no_grad()
def moved(model: Any) -> Any:
    """Weights far from where they start, so that every one of them matters."""
    torch.manual_seed(7)
    for each in model.parameters():
        each.add_(torch.randn_like(each) * 0.1)
    return model


def draw(rows: int, columns: int, low: int = 0) -> Tensor:
    return torch.randint(low, VOCAB, (rows, columns), generator=torch.Generator().manual_seed(rows + columns))


def padding(columns: int) -> Tensor:
    """The first row is padded on the left, the second on the right."""
    kept = torch.ones(3, columns, dtype=torch.bool)
    kept[0, :3], kept[1, -4:] = False, False
    return kept


@torch.no_grad()
def differences(ours: Transformer, theirs: Any) -> dict[str, float]:
    """The largest difference of logits by case; where a token is padding nothing is compared."""
    tokens, kept, far = draw(3, 12), padding(12), {}
    pad = {"attention_mask": kept.long()}
    if kind(ours) == "Seq2SeqLM":
        sources, real = draw(3, 14), padding(14)
        other = {"input_ids": sources, "decoder_input_ids": tokens}
        far["plain"] = (ours(tokens, sources_BS=sources) - theirs(**other).logits).abs()
        mine = ours(tokens, sources_BS=sources, source_kept_BS=real)
        far["padded"] = (mine - theirs(**other, attention_mask=real.long()).logits).abs()
        mine = ours(tokens, sources_BS=sources, source_kept_BS=real, kept_BT=kept)
        both = theirs(**other, attention_mask=real.long(), decoder_attention_mask=kept.long())
        far["padded twice"] = (mine - both.logits).abs()[kept]
    else:
        far["plain"] = (ours(tokens) - theirs(input_ids=tokens).logits).abs()
        far["padded"] = (ours(tokens, kept_BT=kept) - theirs(input_ids=tokens, **pad).logits).abs()[kept]
    if ours.architecture.family == "bert":
        types = draw(3, 12) % 2
        mine = ours(tokens, kept_BT=kept, types_BT=types)
        far["types"] = (mine - theirs(input_ids=tokens, token_type_ids=types, **pad).logits).abs()[kept]
    return {case: float(difference.max()) for case, difference in far.items()}


@pytest.mark.parametrize("text", OURS, ids=name)
def test_ours_gives_the_same_logits_there_and_comes_back(text: str, tmp_path: Path) -> None:
    ours = moved(build(find_model(text).described(), seed=1))
    write(ours, tmp_path / "model")
    theirs = loaded(tmp_path / "model", ours)
    for kernel in KERNELS.values():
        ours.attend = kernel
        assert {} == {case: far for case, far in differences(ours, theirs).items() if far > CLOSE}
    again = read(tmp_path / "model")
    assert {} == {case: far for case, far in differences(again, theirs).items() if far > CLOSE}


@pytest.mark.parametrize(("family", "fields"), THEIRS, ids=str)
def test_theirs_gives_the_same_logits_here_and_goes_back(family: str, fields: dict[str, Any], tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model(family, **fields)
    auto = "MaskedLM" if family == "bert" else "Seq2SeqLM" if family == "t5" else "CausalLM"
    auto = "CausalLM" if fields.get("is_decoder") else auto
    theirs = moved(quiet(getattr(transformers, f"AutoModelFor{auto}").from_config, config)).eval()
    quiet(theirs.save_pretrained, tmp_path / "theirs")
    ours = read(tmp_path / "theirs")
    assert {} == {case: far for case, far in differences(ours, theirs).items() if far > CLOSE}
    write(ours, tmp_path / "ours")
    again = loaded(tmp_path / "ours", ours)
    assert {} == {case: far for case, far in differences(ours, again).items() if far > CLOSE}


@pytest.mark.parametrize("text", [text for text in OURS if "bert" not in text], ids=name)
@torch.no_grad()
def test_tokens_one_by_one_give_the_logits_of_all_at_once_here_and_there(text: str, tmp_path: Path) -> None:
    ours = moved(build(find_model(text).described(), seed=2))
    write(ours, tmp_path / "model")
    theirs = loaded(tmp_path / "model", ours)
    tokens, there, past = draw(3, 12), [], None
    encoded = {"sources_BS": draw(3, 9)} if kind(ours) == "Seq2SeqLM" else {}
    cache = Cache(12)
    whole = ours(tokens, **encoded)
    here = [ours(tokens[:, at : at + 1], **encoded, cache=cache) for at in range(12)]
    for at in range(12):
        step = tokens[:, at : at + 1]
        asked = {"decoder_input_ids": step, "input_ids": encoded["sources_BS"]} if encoded else {"input_ids": step}
        answer = theirs(**asked, past_key_values=past, use_cache=True)
        past, there = answer.past_key_values, [*there, answer.logits]
    assert CLOSE > (torch.cat(here, dim=1) - whole).abs().max()
    assert CLOSE > (torch.cat(there, dim=1) - whole).abs().max()


@torch.no_grad()
def test_a_prompt_padded_on_the_left_goes_on_like_there(tmp_path: Path) -> None:
    ours = moved(build(find_model(OURS[0]).described()))
    write(ours, tmp_path / "model")
    theirs = loaded(tmp_path / "model", ours)
    tokens, kept = draw(3, 12), torch.ones(3, 12, dtype=torch.bool)
    kept[0, :4] = False
    places = (kept.long().cumsum(-1) - 1).clamp(min=0)
    cache, past = Cache(12), None
    for start, end in ((0, 8), (8, 9), (9, 12)):
        mine = ours(tokens[:, start:end], kept_BT=kept[:, :end], positions_BT=places[:, :end], cache=cache)
        asked = {"attention_mask": kept[:, :end].long(), "position_ids": places[:, start:end]}
        answer = theirs(input_ids=tokens[:, start:end], **asked, past_key_values=past, use_cache=True)
        past = answer.past_key_values
        assert CLOSE > (mine - answer.logits).abs()[kept[:, start:end]].max()


def test_a_model_trained_with_other_scales_says_the_same_in_the_format(tmp_path: Path) -> None:
    numerics = Numerics(score_scale=0.3, logit_scale=0.5, norm_eps=1e-4, rotary_base=300.0)
    for number, text in enumerate((OURS[1], OURS[3], OURS[6], OURS[8], OURS[10], OURS[11])):
        ours = moved(build(find_model(text).described(), numerics=numerics))
        write(ours, tmp_path / str(number))
        theirs = loaded(tmp_path / str(number), ours)
        assert {} == {case: far for case, far in differences(ours, theirs).items() if far > CLOSE}


def test_greedy_text_of_a_saved_model_is_ours(tmp_path: Path) -> None:
    ours = moved(build(find_model(OURS[0]).described()))
    write(ours, tmp_path / "model")
    theirs = loaded(tmp_path / "model", ours)
    tokens = draw(1, 4)
    there = theirs.generate(tokens, max_new_tokens=8, do_sample=False, attention_mask=torch.ones_like(tokens))
    with torch.no_grad():
        for _ in range(8):
            tokens = torch.cat((tokens, ours(tokens)[:, -1:].argmax(-1)), dim=1)
    assert tokens.tolist() == there.tolist()

"""How each family's class in transformers is written, where that decides what is kept for the backward pass.

Two classes of the same mathematics keep different tensors: one casts its softmax to float32, one projects queries,
keys and values with a single matrix and keeps views of it. A family that is not listed is written like Llama.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What differs from Llama's class.

    `rms_norm` and `layer_norm` say how norms are spelled (see `activation_tape`); `float32_softmax` and
    `float32_loss` whether scores and logits are raised to float32 (None: logits are, where a decoder stands alone);
    `fused_qkv` whether one matrix makes queries, keys and values; `gated_gelu` what a gated network calls gelu.
    `rotary_parts` is a head's width over the part of it that turns; when `rotary_joins`, turned and unturned parts
    are put together anew. `capped_scores` and `capped_logits` go through a tanh. `mask_kept`: layers are called with
    the mask of scores, so that a recomputed one keeps it. `position_rows` says how often the indices of learned
    positions are kept: for each sequence of the batch ("batch"), once ("row"), or not, being a buffer ("").
    `dropped_embedding` and `dropped_final` tell whether there is a dropout after the embedding, and after all layers;
    `drops` where dropout acts in a model whose config does not say.
    Of experts: `float32_router` whether the router reads a float32 copy; `every_expert` whether all experts run on
    all tokens; `gate_steps` how many more tensors of their width a gate keeps that is spelled out.
    """

    rms_norm: str = "llama"
    layer_norm: str = "kernel"
    float32_softmax: bool = True
    float32_loss: bool | None = None
    fused_qkv: bool = False
    gated_gelu: str = "gelu"
    rotary_parts: int = 1
    rotary_joins: bool = False
    capped_scores: bool = False
    capped_logits: bool = False
    mask_kept: bool = False
    position_rows: str = "row"
    dropped_embedding: bool = True
    dropped_final: bool = False
    drops: tuple[str, ...] = ()
    float32_router: bool = False
    every_expert: bool = False
    gate_steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout:
    """Where dropout acts while training: a rate of zero keeps nothing.

    After the embedding, on the weights of scores, on the output of each branch, inside the feed-forward network,
    after all layers.
    """

    embedding: bool = False
    scores: bool = False
    output: bool = False
    inner: bool = False
    final: bool = False


NO_DROPOUT = Dropout()
LLAMA = Habit()
LATE = Habit(rms_norm="late")
GEMMA = Habit(rms_norm="gemma")
NATIVE = Habit(float32_softmax=False)
BERT = replace(NATIVE, position_rows="", drops=("embedding", "scores", "output"))
ROBERTA = replace(BERT, position_rows="batch")
GPT2 = replace(NATIVE, fused_qkv=True, mask_kept=True, drops=BERT.drops)
NEOX = Habit(fused_qkv=True, rotary_parts=4, rotary_joins=True)
HALF_TURNED = Habit(rotary_parts=2, rotary_joins=True)
COHERE = Habit(layer_norm="cohere")
BART = replace(NATIVE, mask_kept=True, float32_loss=False, drops=("embedding", "output"))
T5 = replace(
    NATIVE,
    rms_norm="t5",
    gated_gelu="gelu_new",
    mask_kept=True,
    dropped_final=True,
    drops=("embedding", "scores", "output", "inner", "final"),
)

# Families with the same habits, as their modelling files of transformers 5.23 show.
ALIKE: tuple[tuple[Habit, str], ...] = (
    (LATE, "afmoe beam flex_olmo flint helium olmo2 olmo3 olmo_hybrid"),
    (GEMMA, "gemma gemma3_text minimax_m3_vl_text recurrent_gemma vaultgemma"),
    (replace(GEMMA, rotary_parts=4, rotary_joins=True), "qwen3_5 qwen3_5_text qwen3_5_moe qwen3_5_moe_text qwen3_next"),
    (replace(GEMMA, capped_scores=True, capped_logits=True), "gemma2"),
    (replace(GEMMA, capped_scores=True, capped_logits=True, float32_loss=True), "t5gemma"),
    (replace(NATIVE, rms_norm="late", gate_steps=3), "gpt_oss"),
    (COHERE, "cohere cohere2 cohere2_moe cohere_compass_text"),
    (Habit(layer_norm="float32"), "olmo"),
    (HALF_TURNED, "glm glm4 minimax_m2 nemotron phi"),
    (replace(HALF_TURNED, float32_router=True), "glm4_moe"),
    (Habit(float32_router=True), "deepseek_v2 deepseek_v3 deepseek_v32 dots1 glm4_moe_lite glm_moe_dsa kimi_linear"),
    (replace(HALF_TURNED, rotary_parts=4), "stablelm"),
    (replace(HALF_TURNED, fused_qkv=True), "persimmon"),
    (replace(NEOX, rotary_parts=1), "phi3"),
    (NEOX, "gpt_neox"),
    (Habit(fused_qkv=True), "bloom gpt_bigcode mpt"),
    (Habit(float32_loss=True), "eurobert"),
    (Habit(fused_qkv=True, position_rows="", float32_loss=True), "modernbert"),
    (GPT2, "gpt2 gpt-sw3 openai-gpt"),
    (replace(NATIVE, fused_qkv=True), "falcon"),
    (Habit(position_rows="batch", dropped_embedding=False, drops=("output",)), "opt"),
    (BERT, "albert bert bert-generation big_bird deberta deberta-v2 distilbert electra ernie esm ibert layoutlm luke"),
    (BERT, "jina_embeddings_v3 megatron-bert mobilebert nomic_bert nystromformer rembert roc_bert roformer"),
    (BERT, "squeezebert tapas"),
    (ROBERTA, "camembert convbert data2vec-text flaubert gte mpnet roberta roberta-prelayernorm"),
    (ROBERTA, "xlm xlm-roberta xlm-roberta-xl xmod"),
    (replace(NATIVE, drops=BERT.drops), "biogpt xglm xlnet"),
    (replace(NATIVE, every_expert=True), "llama4_text"),
    (BART, "bart bigbird_pegasus blenderbot blenderbot-small fsmt led m2m_100 marian mbart musicgen mvp nllb-moe"),
    (BART, "pegasus pegasus_x plbart prophetnet seamless_m4t trocr whisper"),
    (T5, "longt5 mt5 switch_transformers t5 umt5"),
)
HABITS: Mapping[str, Habit] = {family: habit for habit, families in ALIKE for family in families.split()}

OF_BRANCHES = ("hidden_dropout_prob", "hidden_dropout", "dropout_rate", "dropout")
# The fields of configs that give the rate of each dropout, the one that wins first.
RATES: Mapping[str, tuple[str, ...]] = {
    "embedding": ("embd_pdrop", "embedding_dropout", *OF_BRANCHES),
    "scores": ("attn_pdrop", "attention_probs_dropout_prob", "attention_dropout", "dropout_rate"),
    "output": ("resid_pdrop", "residual_dropout", *OF_BRANCHES),
    "inner": ("activation_dropout", "dropout_rate"),
    "final": ("dropout_rate",),
}


def habit(family: str) -> Habit:
    """How a family's class is written."""
    return HABITS.get(family, LLAMA)


def dropout(config: Mapping[str, Any]) -> Dropout:
    """Where a config's rates switch dropout on; where it gives no rate, the family's own custom holds."""
    written = habit(str(config.get("model_type", "")))
    absent = {"embedding": not written.dropped_embedding, "final": not written.dropped_final}
    return Dropout(**{f.name: not absent.get(f.name) and _acts(config, written, f.name) for f in fields(Dropout)})


def _acts(config: Mapping[str, Any], written: Habit, place: str) -> bool:
    rates = [config[name] for name in RATES[place] if isinstance(config.get(name), int | float)]
    return bool(rates[0] > 0) if rates else place in written.drops

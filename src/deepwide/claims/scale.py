"""Document 003, scale: the sizes of well-known models, and what size brings."""

from __future__ import annotations

from deepwide.answers.loss import predict_loss
from deepwide.claims.claim import Finding, Source, Verdict, among, claim, finding, near
from deepwide.claims.known import listed

# Of the document's table: what it prints, and the models of the catalogue that it means.
TABLE = {
    "003-01": ("ELMo", "93M", {"elmo": 93e6}, 2018),
    "003-02": ("BERT base", "110M", {"bert-base": 110e6}, 2018),
    "003-03": ("BERT large", "340M", {"bert-large": 340e6}, 2018),
    "003-04": ("GPT-2", "1.5B", {"gpt2-xl": 1.5e9}, 2019),
    "003-05": ("GPT-3", "175B", {"gpt-3-175b": 175e9}, 2020),
    "003-06": ("Gopher", "280B", {"gopher-280b": 280e9}, 2021),
    "003-07": ("Chinchilla", "70B", {"chinchilla-70b": 70e9}, 2022),
    "003-08": ("LLaMA 2", "7B, 13B, 70B", {"llama-2-7b": 7e9, "llama-2-13b": 13e9, "llama-2-70b": 70e9}, 2023),
}
ROUNDED = 0.05  # what a rounded name may be off


def _sizes(stated: dict[str, float], year: int) -> Finding:
    """Counted parameters and the year of the catalogue's rows, against the table."""
    rows = [listed()[name] for name in stated]
    right = [
        near(r.parameters or 0, said, ROUNDED) and r.year == year for r, said in zip(rows, stated.values(), strict=True)
    ]
    return finding(among(right), year=str(year), counted=", ".join(f"{row.parameters:,}" for row in rows))


def _enter_table() -> None:
    for id, (name, printed, stated, year) in TABLE.items():

        def judge(stated: dict[str, float] = stated, year: int = year) -> Finding:
            """Counted parameters and the year of the catalogue's rows, against the table."""
            return _sizes(stated, year)

        claim(
            id,
            f"{name}, of {year}, has {printed} parameters.",
            f"{name}（{year} 年）的参数量为 {printed}。",
            source=Source.CATALOGUE,
            holds=("Counted: {counted}; published in {year}.", "精确计数：{counted}；发表于 {year} 年。"),
        )(judge)


_enter_table()


@claim(
    "003-09",
    "GPT-4 is estimated to have about a trillion parameters.",
    "GPT-4 估计为万亿参数级别。",
    source=Source.NONE,
    unknown=(
        "Its maker discloses no size ({why}); the catalogue lists it without a number.",
        "开发方未公开规模，目录仅列名而无数字。",
    ),
)
def size_of_gpt4() -> Finding:
    """Whether the catalogue knows its parameters."""
    row = listed()["gpt-4"]
    return finding(Verdict.UNDECIDED if row.parameters is None else Verdict.WRONG, why=row.source)


@claim(
    "003-10",
    "Sizes grew from hundreds of millions to trillions.",
    "模型参数从几亿增长到数万亿。",
    source=Source.CATALOGUE,
    when=(
        "From {first} ({first_year}) to {largest} ({largest_year}) among published models: a trillion, not several.",
        "在公开模型中，从 {first}（{first_year} 年）到 {largest}（{largest_year} 年）：达到一万亿，而非数万亿。",
    ),
)
def sizes_grew() -> Finding:
    """The smallest model of the first year and the largest of all that are published."""
    sized = [each for each in listed().values() if each.parameters]
    first = min(sized, key=lambda m: (m.year, m.parameters or 0))
    largest = max(sized, key=lambda m: m.parameters or 0)
    sizes = (first.parameters or 0, largest.parameters or 0)
    return finding(
        among([sizes[1] > 1e12, sizes[1] > 2e12]),
        first=f"{sizes[0]:,}",
        first_year=str(first.year),
        largest=f"{sizes[1]:,}",
        largest_year=str(largest.year),
    )


@claim(
    "003-20",
    "More parameters generalise better.",
    "参数越多，泛化能力越强。",
    source=Source.LAW,
    when=(
        "On the same tokens: {large} ends {gain_nats} below {small} after {shared_tokens} each. With too few "
        "tokens it does not: Gopher, 280B on {gopher_tokens}, is predicted {behind_nats} behind Chinchilla, 70B on "
        "{chinchilla_tokens}.",
        "训练量相同时成立：各训练 {shared_tokens} 后，{large} 比 {small} 低 {gain_nats}。训练量不足时则不然：280B "
        "的 Gopher（{gopher_tokens}）预测比 70B 的 Chinchilla（{chinchilla_tokens}）高 {behind_nats}。",
    ),
)
def more_parameters_generalise() -> Finding:
    """Predicted loss of two sizes on the same tokens, and of two models as they were trained."""
    tokens, gopher, chinchilla = 300_000_000_000, 300_000_000_000, 1_400_000_000_000
    asked = (("gpt-3-6.7b", tokens), ("gpt-3-175b", tokens), ("gopher-280b", gopher), ("chinchilla-70b", chinchilla))
    small, large, wide, trained = (predict_loss(name, seen).loss or 0.0 for name, seen in asked)
    return finding(
        among([large < small, wide < trained]),
        small=asked[0][0],
        large=asked[1][0],
        gain_nats=small - large,
        shared_tokens=tokens,
        gopher_tokens=gopher,
        chinchilla_tokens=chinchilla,
        behind_nats=wide - trained,
    )


@claim(
    "003-21",
    "Abilities emerge above a threshold of size.",
    "参数规模超过阈值后会涌现新能力。",
    source=Source.NONE,
    unknown=(
        "The laws here predict a loss, which falls smoothly: {small_nats} for a doubling at {small}, {large_nats} "
        "at {large}. What a task makes of it is measured by nobody in a way that can be repeated here.",
        "本项目的定律预测损失，而损失平滑下降：{small} 处规模翻倍降低 {small_nats}，{large} 处降低 {large_nats}。"
        "具体任务能力是否突变，没有可在此复现的公开数据。",
    ),
)
def abilities_emerge() -> Finding:
    """What a doubling of the body changes of the predicted loss at two sizes: smooth is no proof either way."""
    names = {"small": "gpt-3-xl", "large": "gpt-3-175b"}
    falls = {f"{k}_nats": -(predict_loss(n, 300_000_000_000).doubled_body or 0.0) for k, n in names.items()}
    return finding(Verdict.UNDECIDED, **names, **falls)

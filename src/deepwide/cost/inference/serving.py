"""From passes to what a user waits for: reading a prompt, generating, and the steady state of a server.

prompt       read in chunks, each after those before it
token        a decode step in the middle of the answer: its time grows evenly with the context
serving      token + (concurrency - 1) / output * prompt * interference      while one sequence generates `output`
             tokens, each of the others has one prompt read; what a scheduler hides of that, interference leaves out
mixed        a chunk of a prompt rides along with the decode step of the others: weights are read once for both
Waiting in a queue is left out: it depends on how requests arrive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deepwide.architecture.ledger import Ledger
from deepwide.arithmetic import largest, least
from deepwide.cost.inference.engine import Engine
from deepwide.cost.inference.passes import Seconds, Work, forward
from deepwide.units import Num, Real


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What is asked of a server: `batch` sequences at once, each with a prompt and an answer.

    Prompts are read `chunk` tokens at once; tp times pp devices share the model.
    """

    batch: Num = 1
    input: Num = 1
    output: Num = 1
    chunk: Num = 8192
    tp: int = 1
    pp: int = 1
    logits: int = 1


def prompt_passes(ledger: Ledger, asked: Requests, on: Engine, stream: str = "decoder") -> tuple[Seconds, Real]:
    """The typical pass of reading prompts, and how many of them it takes: the chunk before which half has been read."""
    tokens = largest(least(asked.input, asked.chunk), 1)
    passes = asked.input / tokens
    past = (asked.input - tokens) // 2
    work = Work(tokens=tokens, batch=asked.batch, past=past, tp=asked.tp, pp=asked.pp, logits=asked.logits, prompt=True)
    return forward(ledger, work, on, stream), passes


def prompt_s(ledger: Ledger, asked: Requests, on: Engine, stream: str = "decoder") -> Real:
    """Time until the prompts of all sequences have been read and their first token is there.

    Stages of a pipeline work side by side on different chunks.
    """
    one, passes = prompt_passes(ledger, asked, on, stream)
    time: Real = one.total_s * (passes + asked.pp - 1) / asked.pp if asked.pp > 1 else one.total_s * passes
    return time + on.constants.request_s


def token_passes(ledger: Ledger, asked: Requests, on: Engine, stream: str = "decoder") -> Seconds:
    """The decode step in the middle of the answer, for all sequences at once."""
    past = asked.input + asked.output // 2
    return forward(ledger, Work(batch=asked.batch, past=past, tp=asked.tp, pp=asked.pp), on, stream)


def generation_s(
    ledger: Ledger, asked: Requests, on: Engine, *, held: Real = float("inf"), stream: str = "decoder"
) -> Real:
    """Time of the whole batch, prompts and answers. Where memory holds only `held` sequences, they take turns."""
    turns = largest(-(-asked.batch // held), 1.0)
    at_once = replace(asked, batch=asked.batch / turns)
    reading = prompt_s(ledger, at_once, on, stream)
    time: Real = turns * (reading + asked.output * token_passes(ledger, at_once, on, stream).total_s)
    return time


def serving_token_s(token_s: Real, prompt_alone_s: Real, *, concurrency: Num, output: Num, on: Engine) -> Real:
    """Time between two tokens of one sequence in the steady state of a server with so many sequences."""
    time: Real = token_s + on.constants.interference * (concurrency - 1) / output * prompt_alone_s
    return time


def mixed_prompt_s(ledger: Ledger, asked: Requests, on: Engine, stream: str = "decoder", *, chunked: bool) -> Real:
    """Time to the first token on a server that is writing for the others, once the request's turn has come.

    `chunked`: each chunk goes through with a decode step of the others; else the prompt waits for half a step and
    then goes through alone.
    """
    alone = replace(asked, batch=1)
    if not chunked:
        return prompt_s(ledger, alone, on, stream) + token_passes(ledger, asked, on, stream).total_s / 2
    others = token_passes(ledger, replace(asked, batch=largest(asked.batch - 1, 1)), on, stream)
    _, passes = prompt_passes(ledger, alone, on, stream)
    beside = (others.cache_s + others.compute_s) * least(asked.batch - 1, 1)
    time: Real = prompt_s(ledger, alone, on, stream) + passes * beside
    return time

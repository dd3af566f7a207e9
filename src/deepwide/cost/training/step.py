"""How long one training step takes: the work and the traffic of its micro-batches, laid on a schedule.

    stage    = longer(device, host) + hand-overs                for one micro-batch, forward and backward
    step     = (micro-batches + (pp - 1) / interleave) * stage + what happens once
The slowest stage sets the pace of 1F1B; filling and draining the pipeline costs pp - 1 stages more, or that over the
pieces of the model on each stage (arXiv:2104.04473, section 2.2).
"""

from __future__ import annotations

from typing import NamedTuple

from deepwide.arithmetic import least, log2, longer, pieces
from deepwide.cost.training.engine import Engine
from deepwide.cost.training.orthogonal import orthogonal_s
from deepwide.cost.training.plan import Job, Plan
from deepwide.cost.training.traffic import Traffic, stage_parameters, traffic
from deepwide.cost.training.work import ATTENTION_BACKWARD, BACKWARD, Work, host_s, layers_s, micro_batch_work
from deepwide.facts.training import TrainingConstants
from deepwide.units import Real

HOST_SHARPNESS = 2.5  # host and device run side by side, the slower sets the pace; fitted, 2 to 4 do nearly as well
OVERLAP_SHARPNESS = 4.0  # likewise computing a layer and gathering the weights of the next
WEIGHT_BYTES = 2  # of a weight that is gathered: 16 bits
OPTIMIZER_BYTES = (
    30  # per parameter: weight, gradient, master copy and two moments, read, and written where they change
)
OFFLOADED_BYTES = 24  # per parameter over the slot and back, where master copy and moments stay with the host


class Passing(NamedTuple):
    """Seconds that a device needs for one micro-batch in all layers together, both ways, if its host keeps up."""

    compute_s: Real
    tensor_s: Real
    context_s: Real
    expert_s: Real

    @property
    def device_s(self) -> Real:
        """All of it."""
        return self.compute_s + (self.tensor_s + self.context_s + self.expert_s)


class Stage(NamedTuple):
    """Seconds of one micro-batch on one pipeline stage, both ways: `share` of what all layers together take.

    `middle_s` is all of it on a stage without an end of the model, `ends_s` what the last stage does besides.
    """

    middle_s: Real
    ends_s: Real
    share: Real
    layers: Passing
    launched_s: Real
    once_s: Real
    pipeline_s: Real

    @property
    def compute_s(self) -> Real:
        """Products, attention and streaming."""
        return self.share * self.layers.compute_s

    @property
    def launch_s(self) -> Real:
        """Waiting for the host."""
        return self.share * (self.launched_s - self.layers.device_s) + self.once_s

    @property
    def tensor_s(self) -> Real:
        """Sums over tensor-parallel devices."""
        return self.share * self.layers.tensor_s

    @property
    def context_s(self) -> Real:
        """Keys and values around the ring."""
        return self.share * self.layers.context_s

    @property
    def expert_s(self) -> Real:
        """Tokens to their experts and back."""
        return self.share * self.layers.expert_s


# The parts of a step's time, which add up to it.
PARTS = tuple(
    f"{part}_s" for part in "compute launch tensor context expert pipeline bubble data optimizer waiting".split()
)


class Step(NamedTuple):
    """Seconds of one step, and where they go: the parts add up to `step_s`, and are taken when they are asked for.

    compute_s      products, attention and streaming, with what is computed again
    launch_s       waiting for the host
    tensor_s, context_s, expert_s, pipeline_s, data_s    traffic that no compute hides
    bubble_s       filling and draining the pipeline
    optimizer_s    streaming weights and their states
    waiting_s      devices waiting for the slowest of them
    """

    step_s: Real
    stage: Stage
    micro_batches: Real
    bubble_s: Real
    data_s: Real
    optimizer_s: Real
    waiting_s: Real
    once_s: Real

    @property
    def compute_s(self) -> Real:
        """Of all micro-batches, the two ends of the model included."""
        return self.micro_batches * (self.stage.compute_s + self.stage.ends_s)

    @property
    def launch_s(self) -> Real:
        """Of all micro-batches, and once a step."""
        return self.micro_batches * self.stage.launch_s + self.once_s

    @property
    def tensor_s(self) -> Real:
        """Of all micro-batches."""
        return self.micro_batches * self.stage.tensor_s

    @property
    def context_s(self) -> Real:
        """Of all micro-batches."""
        return self.micro_batches * self.stage.context_s

    @property
    def expert_s(self) -> Real:
        """Of all micro-batches."""
        return self.micro_batches * self.stage.expert_s

    @property
    def pipeline_s(self) -> Real:
        """Of all micro-batches."""
        return self.micro_batches * self.stage.pipeline_s


class Effort(NamedTuple):
    """What one micro-batch takes before it is laid on a schedule, all layers together; and what a device has of it.

    share        of the layers, on the fullest stage
    parameters   on one device of it
    """

    work: Work
    sent: Traffic
    share: Real
    parameters: Real


def step_time(job: Job, plan: Plan, engine: Engine) -> Step:
    """One step of the job under the plan."""
    return scheduled(job, plan, engine, effort(job, plan, engine))


def effort(job: Job, plan: Plan, engine: Engine) -> Effort:
    """All that does not ask what is recomputed, or what ZeRO shares: plans that differ in these can have one of it."""
    c = engine.constants
    return Effort(
        work=micro_batch_work(job, plan, engine),
        sent=traffic(job, plan, engine.network, gradient_bytes=c.gradient_bytes, weight_bytes=WEIGHT_BYTES),
        share=pieces(job.layers, plan.pp * plan.interleave) * plan.interleave / job.layers,
        parameters=stage_parameters(job.ledger, plan),
    )


def scheduled(job: Job, plan: Plan, engine: Engine, made: Effort) -> Step:
    """Work and traffic laid on the plan's schedule."""
    c, sent = engine.constants, made.sent
    stage = stage_time(job, plan, engine, made)
    count = plan.micro_batches(job.global_batch)
    each = stage.middle_s + stage.ends_s
    piped = not (isinstance(plan.pp, int) and plan.pp == 1)
    bubble = (plan.pp - 1) / plan.interleave * stage.middle_s if piped else 0.0
    data = _data_s(sent, plan, count, each, c)
    optimizer = _optimizer_s(plan, engine, made.parameters) + orthogonal_s(job, plan, engine)
    running = count * each + (bubble + c.step_s) + data + optimizer
    waiting = running * (c.jitter_share * log2(plan.devices))
    return Step(
        step_s=running + waiting,
        stage=stage,
        micro_batches=count,
        bubble_s=bubble,
        data_s=data,
        optimizer_s=optimizer,
        waiting_s=waiting,
        once_s=c.step_s,
    )


def stage_time(job: Job, plan: Plan, engine: Engine, made: Effort) -> Stage:
    """One micro-batch on the fullest stage: its share of what all layers together take."""
    c, work, sent, share = engine.constants, made.work, made.sent, made.share
    again = 1 if plan.recompute == "full" else 0
    layers = Passing(
        compute_s=_both_ways_s(work, job, plan, c),
        tensor_s=sent.tensor_s * (2 + again) * c.tensor_exposed,
        context_s=sent.context_s * (3 + again) * c.context_exposed,
        expert_s=sent.expert_s * (2 + again) * c.expert_exposed,
    )
    launched = longer(layers.device_s, host_s(job, plan, c), HOST_SHARPNESS) + layers_s(job, plan, c)
    piped = least(plan.pp - 1, 1)  # 1 where there is a pipeline
    handed_on = 2 * plan.interleave * sent.pipeline_s * c.pipeline_exposed * piped
    return Stage(
        middle_s=share * launched + (c.micro_batch_s + handed_on),
        ends_s=3 * (work.head_s + work.embedding_s * (1 - piped)),
        share=share,
        layers=layers,
        launched_s=launched,
        once_s=c.micro_batch_s,
        pipeline_s=handed_on,
    )


def _both_ways_s(work: Work, job: Job, plan: Plan, c: TrainingConstants) -> Real:
    """Forward, backward and what is computed again, all layers of one micro-batch."""
    all_again = 1 if plan.recompute == "full" else 0
    products = 1 + (BACKWARD if job.trainable == "all" else 1.0) + all_again
    attention = 1 + (ATTENTION_BACKWARD if c.score_passes == 0 else BACKWARD) + (plan.recompute != "none")
    streaming = 1 + BACKWARD + all_again
    return products * work.products_s + attention * work.attention_s + streaming * work.streaming_s


def _data_s(sent: Traffic, plan: Plan, count: Real, stage_s: Real, c: TrainingConstants) -> Real:
    """What data parallelism adds: its traffic hides behind the backward pass, or behind the layers that compute.

    Shared gradients (ZeRO 2) go to their owners after every micro-batch, shared weights (ZeRO 3) come and go with it.
    """
    if plan.zero == 0:
        return sent.gradient_s * c.data_exposed
    if plan.zero < 3:
        often = count if plan.zero == 2 else 1
        return (often * sent.scatter_s + sent.copies_s + sent.gather_s) * c.data_exposed
    each = 2 * sent.gather_s + sent.scatter_s
    overlapped = longer(stage_s, each, OVERLAP_SHARPNESS) - stage_s
    return count * (overlapped + each * c.data_exposed) + sent.copies_s * c.data_exposed


def _optimizer_s(plan: Plan, engine: Engine, parameters: Real) -> Real:
    """Streaming the weights that one device owns, and their states, once; over the slot and back if offloaded."""
    byte_s = OPTIMIZER_BYTES * engine.constants.optimizer_passes / engine.head.bytes_per_s
    if plan.offload:
        byte_s = byte_s + OFFLOADED_BYTES / engine.host_bytes_per_s
    time: Real = parameters * (byte_s / (plan.sharing if plan.zero else 1))
    return time

"""Document 003, adapting: what makes a model smaller or cheaper, and what it keeps."""

from __future__ import annotations

from deepwide.answers.loss import predict_loss
from deepwide.answers.memory import memory
from deepwide.answers.training import predict_training
from deepwide.claims.claim import Finding, Source, among, claim, finding
from deepwide.claims.known import known
from deepwide.claims.measured import measured

ON, MODEL = "h100", "llama-3-8b"


@claim(
    "003-24",
    "LoRA trains only a small number of further parameters.",
    "LoRA 只训练少量额外的低秩参数。",
    source=Source.MEMORY,
    holds=(
        "{trainable} of {total} at rank 16: {trained_share}.",
        "秩为 16 时训练 {trainable} 个，占 {total} 的 {trained_share}。",
    ),
)
def lora_trains_few() -> Finding:
    """Trained parameters of adapters of rank 16; few is below 2%."""
    asked, total = memory(MODEL, on=ON, lora=16), known(MODEL).count.total
    return finding(
        asked.trainable < 0.02 * total, trainable=asked.trainable, total=total, trained_share=asked.trainable / total
    )


@claim(
    "003-25",
    "LoRA lowers both compute and memory of fine-tuning by much.",
    "LoRA 大幅减少微调的计算和存储开销。",
    source=Source.TIMED,
    when=(
        "Memory, yes: {lora_bytes} against {full_bytes}, recomputing activations. A step still takes {step_share} "
        "of the time: forward and most of the backward pass remain.",
        "存储成立：{lora_bytes} 对 {full_bytes}（重算激活）。但每步用时仍为 {step_share}：前向和大部分反向计算都还在。",
    ),
)
def lora_saves_compute_and_memory() -> Finding:
    """Memory and time of a step, adapters against all weights; by much is to less than half."""
    load = {"on": ON, "recompute": "full"}
    full, lora = memory(MODEL, train=True, **load), memory(MODEL, lora=16, **load)
    steps = [
        predict_training(MODEL, on=ON, devices=8, plan="micro_batch=1,zero=2,recompute=full", trainable=what).step_s
        for what in ("all", "lora")
    ]
    step_share = steps[1] / steps[0]
    return finding(
        among([lora.total_bytes < full.total_bytes / 2, step_share < 0.5]),
        full_bytes=full.total_bytes,
        lora_bytes=lora.total_bytes,
        step_share=step_share,
    )


@claim(
    "003-26",
    "A student learns from a teacher what makes it better than training alone.",
    "知识蒸馏能让小模型学到大模型的能力，优于单独训练。",
    source=Source.MEASURED,
    holds=(
        "On the same tokens the student ends at {student_nats} with its teacher and at {alone_nats} alone (the "
        "error is {error_nats}); the teacher has {teacher_nats}.",
        "训练量相同时，学生模型有教师为 {student_nats}，单独训练为 {alone_nats}（误差 {error_nats}）；教师为 "
        "{teacher_nats}。",
    ),
    wrong=(
        "Not measured so: on the same tokens the student ends at {student_nats} with its teacher and at "
        "{alone_nats} alone (the error is {error_nats}); the teacher has {teacher_nats}.",
        "实测并非如此：训练量相同时，学生模型有教师为 {student_nats}，单独训练为 {alone_nats}（误差 {error_nats}）；"
        "教师为 {teacher_nats}。",
    ),
)
def distillation_helps() -> Finding:
    """Held-out loss of a student trained with and without its teacher, on the same tokens."""
    run = measured("distillation")
    return finding(
        run["alone_loss"] - run["student_loss"] > run["error"],
        student_nats=run["student_loss"],
        alone_nats=run["alone_loss"],
        teacher_nats=run["teacher_loss"],
        error_nats=run["error"],
    )


@claim(
    "003-27",
    "Fine-tuning with LoRA comes close to fine-tuning all weights.",
    "LoRA 微调可接近全参数微调的效果。",
    source=Source.MEASURED,
    holds=(
        "On the new text: {before_nats} before, {full_nats} with all weights, {lora_nats} with adapters.",
        "在新文本上：微调前 {before_nats}，全参数 {full_nats}，LoRA {lora_nats}。",
    ),
    wrong=(
        "On the new text: {before_nats} before, {full_nats} with all weights, only {lora_nats} with adapters.",
        "在新文本上：微调前 {before_nats}，全参数 {full_nats}，LoRA 只有 {lora_nats}。",
    ),
)
def lora_comes_close() -> Finding:
    """The share of the gain of full fine-tuning that adapters reach; close is three quarters."""
    run = measured("finetuning")
    before, full, lora = (run[f"{name}_loss"] for name in ("before", "full", "lora"))
    return finding(before - lora > 0.75 * (before - full), before_nats=before, full_nats=full, lora_nats=lora)


@claim(
    "003-31",
    "Pruning makes a model smaller and keeps its performance.",
    "剪枝可减小模型体积并保持性能。",
    source=Source.MEASURED,
    holds=(
        "The loss goes from {before_nats} to {quarter_nats} with a quarter of the parameters removed and to "
        "{half_nats} with half.",
        "剪去四分之一参数，损失由 {before_nats} 变为 {quarter_nats}；剪去一半则为 {half_nats}。",
    ),
    when=(
        "Where it is trained on: the loss goes from {before_nats} to {quarter_nats} with a quarter of the "
        "parameters removed, to {half_nats} with half, and from there to {recovered_nats} with {recovery_tokens} "
        "tokens more.",
        "需继续训练：剪去四分之一参数，损失由 {before_nats} 变为 {quarter_nats}；剪去一半为 {half_nats}，再训练 "
        "{recovery_tokens} 个 token 后为 {recovered_nats}。",
    ),
    wrong=(
        "Not in a small model: the loss goes from {before_nats} to {quarter_nats} with a quarter of the parameters "
        "removed, to {half_nats} with half, and is then still {recovered_nats} after {recovery_tokens} tokens more.",
        "在小模型上不成立：剪去四分之一参数，损失由 {before_nats} 变为 {quarter_nats}；剪去一半为 {half_nats}，再训练 "
        "{recovery_tokens} 个 token 后仍为 {recovered_nats}。",
    ),
)
def pruning_keeps_the_loss() -> Finding:
    """Held-out loss with a quarter and with half removed, and after training on; kept is at most 2% above."""
    run = measured("pruning")
    before, *after = (run[f"{name}_loss"] for name in ("before", "quarter", "half", "recovered"))
    quarter, half, recovered = after
    return finding(
        among(each < 1.02 * before for each in after),
        before_nats=before,
        quarter_nats=quarter,
        half_nats=half,
        recovered_nats=recovered,
        recovery_tokens=run["recovery_tokens"],
    )


@claim(
    "003-32",
    "Normalisation makes training stable.",
    "归一化使训练稳定。",
    source=Source.MEASURED,
    holds=(
        "{layers} layers without it diverge in step {diverged_steps}; four end at {bare_nats}, with it at {usual_nats} "
        "(the error is {error_nats}).",
        "去掉归一化，{layers} 层在第 {diverged_steps} 步发散；四层停在 {bare_nats}，有归一化为 {usual_nats}（误差 "
        "{error_nats}）。",
    ),
    when=(
        "In deep models: {layers} layers without it diverge in step {diverged_steps}. Four train as well without: "
        "{bare_nats}, with it {usual_nats} (the error is {error_nats}).",
        "深层时成立：去掉归一化，{layers} 层在第 {diverged_steps} 步发散。四层不受影响：去掉为 {bare_nats}，有归一化为 "
        "{usual_nats}（误差 {error_nats}）。",
    ),
    wrong=(
        "Not seen: {layers} layers train without it, and four end at {bare_nats}, with it at {usual_nats} (the error "
        "is {error_nats}).",
        "实测未见：去掉归一化后 {layers} 层仍可训练，四层停在 {bare_nats}，有归一化为 {usual_nats}（误差 "
        "{error_nats}）。",
    ),
)
def norms_make_training_stable() -> Finding:
    """Whether a deep model diverges without normalisation, and final losses of a shallow one with and without."""
    run = measured("no-norm")
    usual, bare, diverged = run["usual_loss"], run["bare_loss"], int(run["deep_diverged_step"])
    return finding(
        among([bare - usual > run["error"], diverged > 0]),
        layers=int(run["deep_layers"]),
        diverged_steps=diverged,
        usual_nats=usual,
        bare_nats=bare,
        error_nats=run["error"],
    )


@claim(
    "003-33",
    "Better architectures reach the same with less: fewer active parameters for each token.",
    "更高效的架构可以用更少的参数达到同等性能。",
    source=Source.LAW,
    holds=(
        "{experts} computes {flops_ratio} less for a token than a dense model of its {total} parameters; its "
        "predicted loss is {loss_nats}, that of {dense}, with as many active ones, {dense_nats}.",
        "{experts} 每个 token 的计算量是同等总参数（{total}）稠密模型的 1/{flops_times}；预测损失 {loss_nats}，"
        "激活参数相当的稠密模型 {dense} 为 {dense_nats}。",
    ),
)
def experts_reach_more_with_less() -> Finding:
    """Work and predicted loss of a mixture, against dense models of its total and of its active size."""
    experts, dense, tokens = "mixtral-8x7b", "llama-2-13b", 2_000_000_000_000
    own = known(experts).count
    ratio = own.total / own.active
    mixed, plain = (predict_loss(name, tokens).loss or 0.0 for name in (experts, dense))
    return finding(
        ratio > 2 and mixed < plain,
        experts=experts,
        total=own.total,
        flops_ratio=ratio,
        flops_times=ratio,
        loss_nats=mixed,
        dense=dense,
        dense_nats=plain,
    )

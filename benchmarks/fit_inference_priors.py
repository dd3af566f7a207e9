"""What was known of a runtime before its measurements: the middle and the width of every constant, in logarithms."""

from __future__ import annotations

# Runtime -> it and its relatives: engines of one kind, which a common fit describes better than each one's few set-ups.
SERVERS = ("vllm", "sglang", "tensorrt-llm")
FAMILIES = dict.fromkeys(SERVERS, SERVERS)
RELATED = 0.4  # how far a member leaves its family, against how far a runtime leaves the priors
MEASURED = 0.3  # how far a family's accelerators differ where their kernels were measured, against where they were not
NOISE = 0.07  # how far one measurement is from another of the same thing, about
# Constant -> the prior's middle (a factor on the table of kernels, or seconds) and its width in logarithms.
PRIORS = {
    "compute_efficiency": (1.0, 0.2),
    "memory_efficiency": (1.0, 0.1),
    "scores_efficiency": (1.0, 0.4),
    "cache_efficiency": (1.0, 0.3),
    "bytes_per_cycle": (60.0, 1.5),
    "sharpness": (1.0, 0.3),
    "launch_s": (1.0, 0.4),
    "attention_launch_s": (1.0, 0.4),
    "small_s": (3e-6, 0.5),
    "layer_s": (5e-6, 1.5),
    "step_s": (3e-4, 1.5),
    "sequence_s": (5e-6, 1.5),
    "request_s": (2e-3, 1.5),
    "stage_s": (1e-4, 1.5),
    "reread_share": (0.05, 1.0),
    "host_layer_s": (2e-4, 1.0),
    "expert_s": (1e-7, 1.0),
    "all_reduce_s": (1.0, 0.7),
    "link_efficiency": (1.0, 0.4),
    "interference": (0.8, 0.6),
}
OWN_PRIORS = {
    "huggingface": {  # launches every kernel anew, copies the cache as it grows, runs experts one by one
        "host_layer_s": (5e-4, 1.0),
        "expert_s": (1e-4, 1.5),
        "cache_efficiency": (0.05, 1.5),
        "scores_efficiency": (0.3, 1.0),
    },
    "xpu": {"request_s": (10.0, 1.0)},  # measured from a cold start, to all appearances
}
BY_ACCELERATOR = {
    "compute_efficiency": 0.25,
    "memory_efficiency": 0.15,
    "cache_efficiency": 0.3,
    "scores_efficiency": 0.3,
    "reread_share": 0.7,
    "layer_s": 0.3,
    "host_layer_s": 0.3,
    "stage_s": 0.7,
}
BY_FORMAT = {
    "compute_efficiency": 0.4,
    "memory_efficiency": 0.25,
    "cache_efficiency": 0.3,
    "scores_efficiency": 0.3,
    "launch_s": 0.3,
    "layer_s": 0.3,
    "host_layer_s": 0.4,
    "expert_s": 2.5,
}
BY_BOTH = {  # an accelerator's kernels for one format
    "memory_efficiency": 0.2,
    "cache_efficiency": 0.2,
    "scores_efficiency": 0.2,
    "compute_efficiency": 0.2,
    "layer_s": 0.4,
    "host_layer_s": 0.3,
}

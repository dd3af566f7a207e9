"""The accelerator catalogue: rows are sourced and plausible, names find their device, no profile can do harm."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepwide.errors import BadInput
from deepwide.facts.accelerators import CATALOGUE, MOST_PROFILE_BYTES, accelerator, accelerators
from deepwide.facts.device import (
    CONFIDENCES,
    PRECISIONS,
    READERS,
    Accelerator,
    Link,
    link_bytes_per_s,
    memory_for_use_bytes,
    pcie_bytes_per_s,
)

GIB = 2**30
DEVICES = accelerators()
GEFORCE = [a for a in DEVICES if re.match(r"rtx-[345]0\d0(?!-ada)", a.name)]
MINIMAL = "memory_bytes = 1000\nbandwidth_bytes_per_s = 2e9\npeak_flops_per_s = { bf16 = 3e12 }\n"

each_device = pytest.mark.parametrize("device", DEVICES, ids=lambda a: a.name)


def profile(folder: Path, text: str | bytes) -> str:
    path = folder / "card.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def complaint(name: str) -> str:
    with pytest.raises(BadInput) as refused:
        accelerator(name)
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 600
    return message


# Rows


def test_the_catalogue_has_at_least_a_hundred_devices() -> None:
    assert len(DEVICES) >= 100


def test_rows_are_sorted_and_names_are_unique() -> None:
    names = [a.name for a in DEVICES]
    assert sorted(set(names)) == names


@each_device
def test_a_row_says_where_it_is_from_and_how_sure_it_is(device: Accelerator) -> None:
    assert all((device.source, device.vendor, device.architecture))
    assert date(2026, 11, 22) == device.checked
    assert device.confidence in {"checked", "derived", "recalled"}


@each_device
def test_names_and_aliases_are_kebab_case(device: Accelerator) -> None:
    for name in (device.name, *device.aliases):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)


@each_device
def test_memory_bandwidth_and_power_are_plausible(device: Accelerator) -> None:
    assert 4 * GIB <= memory_for_use_bytes(device) <= device.memory_bytes <= 8 * 2**40
    assert 1e10 <= device.bandwidth_bytes_per_s <= 3e13
    assert 2016 <= (device.year or 0) <= 2026
    assert device.tdp_w is None or 5 <= device.tdp_w <= 1500
    assert device.boost_clock_hz is None or 1e9 <= device.boost_clock_hz <= 6e9
    assert device.link is None or 5e10 <= device.link.bytes_per_s <= 2e12


@each_device
def test_rates_are_plausible_and_never_fall_with_fewer_bits(device: Accelerator) -> None:
    peak = device.peak_flops_per_s
    assert set() < set(peak) <= set(PRECISIONS)
    assert all(1e11 <= rate <= 4e16 for rate in peak.values())
    floats = [peak[p] for p in ("fp32", "tf32", "bf16", "fp8", "fp4") if p in peak]
    assert sorted(floats) == floats


@each_device
def test_the_ridge_lies_where_real_devices_have_it(device: Accelerator) -> None:
    peak = device.peak_flops_per_s
    half = peak.get("bf16", peak.get("fp16", peak.get("fp32", 0.0)))
    assert 5 <= half / device.bandwidth_bytes_per_s <= 650


# Traps: each of these stands wrong in some published table


@pytest.mark.parametrize(
    ("name", "precision", "expected"),
    [
        ("h100-sxm", "bf16", 989e12),
        ("h100-sxm", "fp8", 1979e12),
        ("gh200", "bf16", 989e12),
        ("a100", "bf16", 312e12),
        ("l4", "bf16", 121e12),
        ("b300", "int8", 153.5e12),
        ("b300", "fp4", 14e15),
        ("mi300x", "bf16", 1307e12),
        ("mi100", "bf16", 92.3e12),
        ("tpu-v5p", "bf16", 459e12),
    ],
)
def test_rates_are_dense_and_not_sparse(name: str, precision: str, expected: float) -> None:
    assert accelerator(name).peak_flops_per_s[precision] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("name", "expected"), [("rtx-3090", 71e12), ("rtx-4090", 165e12), ("rtx-5090", 209.5e12)])
def test_geforce_rates_are_with_fp32_accumulation(name: str, expected: float) -> None:
    assert accelerator(name).peak_flops_per_s["bf16"] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("device", GEFORCE, ids=lambda a: a.name)
def test_geforce_tensor_rate_is_twice_the_vector_rate(device: Accelerator) -> None:
    peak = device.peak_flops_per_s
    assert 2 * peak["fp32"] == pytest.approx(peak["bf16"], rel=0.02)
    assert "fp8" not in peak or 2 * peak["bf16"] == pytest.approx(peak["fp8"], rel=0.02)


@pytest.mark.parametrize("name", ["rtx-6000-ada", "rtx-a6000", "l40s", "rtx-pro-6000-blackwell"])
def test_workstation_tensor_rate_is_four_times_the_vector_rate(name: str) -> None:
    peak = accelerator(name).peak_flops_per_s
    assert 4 * peak["fp32"] == pytest.approx(peak["bf16"], rel=0.02)


@pytest.mark.parametrize("name", ["v100", "t4", "rtx-2080-ti", "titan-rtx", "p100", "p40", "gtx-1080-ti", "mi50", "m1"])
def test_parts_without_bf16_have_no_bf16_rate(name: str) -> None:
    assert "bf16" not in accelerator(name).peak_flops_per_s


def test_links_are_per_direction() -> None:
    assert accelerator("h100").link == Link(kind="NVLink4", bytes_per_s=450e9)


def test_a_mi250_is_one_of_its_two_dies() -> None:
    device = accelerator("mi250x")
    assert 64 * GIB == device.memory_bytes
    assert 191.5e12 == device.peak_flops_per_s["bf16"]
    assert "two dies" in device.notes


def test_four_bit_integers_are_not_sold_as_fp4() -> None:
    assert "fp4" not in accelerator("t4").peak_flops_per_s


def test_usable_memory_is_used_where_it_is_known() -> None:
    assert pytest.approx(268.6 * GIB, rel=1e-4) == memory_for_use_bytes(accelerator("b300"))
    assert 12 * GIB == memory_for_use_bytes(accelerator("rtx-3060"))


def test_apple_gpus_may_use_two_thirds_or_three_quarters_of_the_memory() -> None:
    shares = {a.name: memory_for_use_bytes(a) / a.memory_bytes for a in DEVICES if a.vendor == "Apple"}
    small = {a.name for a in DEVICES if a.memory_bytes <= 32 * GIB}
    assert {name: 2 / 3 if name in small else 3 / 4 for name in shares} == pytest.approx(shares, rel=1e-3)


def test_a_card_without_a_link_talks_over_pcie() -> None:
    assert 32e9 == link_bytes_per_s(accelerator("l4")) == pcie_bytes_per_s(accelerator("l4"))
    assert 450e9 == link_bytes_per_s(accelerator("h100"))
    assert 64e9 == pcie_bytes_per_s(accelerator("h100"))
    assert 16e9 == pcie_bytes_per_s(accelerator("rtx-4060"))
    assert link_bytes_per_s(accelerator("m1")) is None


# Names


def test_every_name_and_alias_finds_its_own_device() -> None:
    for device in DEVICES:
        for name in (device.name, *device.aliases):
            assert device is accelerator(name)


def test_no_alias_is_given_twice() -> None:
    given_names = [name for a in DEVICES for name in (a.name, *a.aliases)]
    assert len(set(given_names)) == len(given_names)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("h100", "h100-sxm"),
        ("NVIDIA H100 SXM", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("h100_sxm", "h100-sxm"),
        ("a100", "a100-sxm-80gb"),
        ("A100-SXM4-80GB", "a100-sxm-80gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80gb"),
        ("h200", "h200-sxm"),
        ("b200", "b200-sxm"),
        ("RTX 3060 12GB", "rtx-3060-12gb"),
        ("rtx-3060", "rtx-3060-12gb"),
        ("  rtx_3060  12 GB ", "rtx-3060-12gb"),
        ("4090", "rtx-4090"),
        ("4090 24GB", "rtx-4090"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("RTX4090", "rtx-4090"),
        ("AMD Instinct MI300X", "mi300x"),
        ("TPU v5p", "tpu-v5p"),
        ("Apple M1 Max", "apple-m1-max-32c"),
        ("M2 Ultra 60-Core GPU", "apple-m2-ultra-60c"),
        ("Intel Xeon Platinum 8480+", "xeon-platinum-8480-plus"),
    ],
)
def test_a_device_is_found_however_it_is_written(written: str, meant: str) -> None:
    assert meant == accelerator(written).name


@pytest.mark.parametrize("written", ["rtx-4090 48GB", "rtx-3060 8GB", "a100-sxm-64gb", "h100 94gb"])
def test_a_name_with_another_memory_is_another_device(written: str) -> None:
    assert complaint(written).startswith("no accelerator called")


def test_a_misspelt_name_gets_a_suggestion() -> None:
    assert "; did you mean h100-sxm" in complaint("h100-smx")
    assert "mi300x" in complaint("mi300xx")


@pytest.mark.parametrize("name", ["", " ", "nvidia", "!?", "llama-3-8b", "x" * 100_000, "h\n1\x1b[31m"])
def test_a_name_that_resembles_nothing_says_where_to_look(name: str) -> None:
    assert "`deepwide accelerators`" in complaint(name)


def test_the_catalogue_is_read_at_the_first_question_and_not_before() -> None:
    code = "import deepwide.facts.accelerators as a; print(a.accelerators.cache_info().misses)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "0\n" == done.stdout
    assert accelerators() is accelerators()


# Profiles


def test_every_field_has_a_reader() -> None:
    assert {f.name for f in fields(Accelerator)} == {"name", "usual", *READERS}


@pytest.mark.parametrize("name", ["h100-sxm", "rtx-3060-12gb", "tpu-v5p", "apple-m1-8c"])
def test_a_row_written_to_a_profile_gives_the_same_device(tmp_path: Path, name: str) -> None:
    row = re.search(rf"^\[{name}\]\n(.+\n)+", CATALOGUE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row
    assert accelerator(name) == accelerator(profile(tmp_path, row[0]))


def test_three_fields_make_a_profile(tmp_path: Path) -> None:
    device = accelerator(profile(tmp_path, f"[my-card]\n{MINIMAL}"))
    expected = Accelerator(
        name="my-card",
        memory_bytes=1000,
        bandwidth_bytes_per_s=2e9,
        peak_flops_per_s={"bf16": 3e12},
        source="profile file card.toml",
        confidence="stated",
    )
    assert expected == device
    assert hash(expected) == hash(device)
    assert device.confidence in CONFIDENCES


def test_a_profile_may_state_bytes_as_a_power_of_ten(tmp_path: Path) -> None:
    path = profile(tmp_path, "[c]\n" + MINIMAL.replace("1000", "24e9"))
    assert 24_000_000_000 == accelerator(path).memory_bytes


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("memory_gb = 24", "no field called 'memory_gb'; did you mean memory_bytes"),
        ("colour = 'red'", "no field called 'colour'; known are memory_bytes, usable_memory_bytes"),
        ("tdp_w = -5", "tdp_w=-5 must be a positive number"),
        ("tdp_w = 0", "tdp_w=0 must be a positive number"),
        ("tdp_w = nan", "tdp_w=nan must be a positive number"),
        ("tdp_w = inf", "tdp_w=inf must be a positive number"),
        ("tdp_w = true", "tdp_w=True must be a positive number"),
        ("tdp_w = '300 W'", "tdp_w='300 W' must be a positive number"),
        ("tdp_w = 0x" + "f" * 12_000, "tdp_w=a huge number must be a positive number"),
        ("sm_count = 1.5", "sm_count=1.5 must be a whole number"),
        ("usable_memory_bytes = 1001", "usable_memory_bytes=1001 must not exceed memory_bytes=1000"),
        ("vendor = ''", "vendor='' must be one line of text"),
        ("vendor = 7", "vendor=7 must be one line of text"),
        ('vendor = "a\\u001b[2J"', "must be one line of text"),
        ("notes = '" + "n" * 2000 + "'", "must be one line of text of at most 1000 characters"),
        ("aliases = 'x'", "aliases='x' must be a list of names"),
        ("aliases = [1]", "aliases=1 must be one line of text"),
        ("checked = '2026-11-22'", "checked='2026-11-22' must be a date without quotes"),
        ("checked = 2026-11-22T00:00:00", "must be a date without quotes"),
        ("confidence = 'certain'", "confidence='certain' must be one of checked, derived"),
        ("confidence = []", "confidence=a list must be one of checked, derived"),
        ("pcie = '5'", "pcie='5' must be generation and lanes"),
        ("link = 450e9", "link=450000000000.0 must be a table that is not empty, such as { kind"),
        ("link = { kind = 'NVLink4' }", "link=a table must have both"),
        ("link = { kind = 'NVLink4', bytes_per_s = -1 }", "link.bytes_per_s=-1 must be a positive number"),
        ("link = { kind = 'NVLink4', gbps = 1 }", "no field called 'gbps'"),
        ("a" + ".a" * 2000 + " = 1", "no field called 'a'"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(tmp_path: Path, line: str, expected: str) -> None:
    message = complaint(profile(tmp_path, f"[my-card]\n{MINIMAL}{line}\n"))
    assert expected in message
    assert "card.toml" in message


@pytest.mark.parametrize(
    ("peaks", "expected"),
    [
        ("{ bf61 = 1e12 }", "peak_flops_per_s: no field called 'bf61'; did you mean bf16"),
        ("{ bf16 = -1e12 }", "peak_flops_per_s.bf16=-1000000000000.0 must be a positive number"),
        ("{}", "peak_flops_per_s=a table must be a table that is not empty, such as"),
        ("1e12", "peak_flops_per_s=1000000000000.0 must be a table that is not empty, such as"),
    ],
)
def test_a_wrong_rate_is_named_with_what_was_expected(tmp_path: Path, peaks: str, expected: str) -> None:
    assert expected in complaint(profile(tmp_path, "[c]\n" + MINIMAL.replace("{ bf16 = 3e12 }", peaks)))


@pytest.mark.parametrize("required", ["memory_bytes", "bandwidth_bytes_per_s", "peak_flops_per_s"])
def test_a_missing_field_is_named(tmp_path: Path, required: str) -> None:
    kept = "".join(line for line in MINIMAL.splitlines(keepends=True) if not line.startswith(required))
    assert f"{required} missing; every device needs" in complaint(profile(tmp_path, f"[c]\n{kept}"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected one table named after the device"),
        (MINIMAL, "expected one table named after the device"),
        (f"[a]\n{MINIMAL}[b]\n{MINIMAL}", "expected one table named after the device"),
        ("[[a]]\nx = 1\n", "expected one table named after the device"),
        (f'["a\\nb"]\n{MINIMAL}', "the name='a\\nb' must be one line of text"),
        ("[a\n", "not TOML"),
        ("[c]\nx = " + "[" * 9000, "not TOML"),
        ("[c]\nx = " + "9" * 9000, "not TOML"),
        (b"\xff\xfe\x00", "not TOML"),
        (b"PK\x03\x04" + bytes(100), "not TOML"),
        ("#" * 2_000_000, f"more than {MOST_PROFILE_BYTES:,} bytes"),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert expected in complaint(profile(tmp_path, text))


def test_a_path_that_is_no_file_says_so(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe, tmp_path / "absent.toml"):
        assert "no such file" in complaint(str(path))
    assert "no such file" in complaint("nul\0byte.toml")
    assert "cannot be read" in complaint("/" + "x" * 5000 + ".toml")


@pytest.mark.fuzz
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(sorted(READERS)), value=st.text(max_size=30) | st.integers().map(str) | st.floats().map(str))
def test_no_field_can_break_the_reader(tmp_path: Path, key: str, value: str) -> None:
    rest = "".join(line for line in MINIMAL.splitlines(keepends=True) if not line.startswith(key))
    path = profile(tmp_path, f"[c]\n{key} = {value}\n{rest}".encode("utf-8", "replace"))
    try:
        answer = accelerator(path).name
    except BadInput as error:
        answer = str(error)
    assert answer.isprintable()

"""C on other machines: built by cross compilers, its self-test run in emulators and in node.

Each is skipped where its compiler or emulator is not there: Debian's gcc-aarch64-linux-gnu,
libc6-dev-arm64-cross and qemu-user; gcc-arm-none-eabi, libnewlib-arm-none-eabi and
qemu-system-arm; the package ziglang and node.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.live.programs import causal, model

from gated.live.emit_c import source
from gated.live.int8 import rounded_model

STRICT = ["-std=c99", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror", "-DGATED_SELF_TEST"]
LINKER = """\
ENTRY(reset)
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.init) *(.fini) } > FLASH
  .ARM.exidx : { *(.ARM.exidx*) } > FLASH
  .data : { *(.data*) } > RAM
  .bss : { __bss_start__ = .; *(.bss*) *(COMMON) __bss_end__ = .; end = .; __end__ = .; } > RAM
}
"""
STARTUP = """\
extern void _start(void);
void reset(void) {
    *(volatile unsigned *)0xE000ED88u |= 0xFu << 20; /* lets floating point be */
    _start();
}
__attribute__((section(".vectors"), used))
void *const vectors[] = {(void *)0x20400000, (void *)reset};
"""
NODE = """\
const { WASI } = require("node:wasi"), { readFileSync } = require("node:fs");
const wasi = new WASI({ version: "preview1" });
WebAssembly.instantiate(readFileSync(process.argv[1]), wasi.getImportObject())
  .then(({ instance }) => process.exit(wasi.start(instance)));
"""


def zig() -> list[str] | None:
    if found := shutil.which("zig"):
        return [found, "cc"]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    return None


def needed(*names: str) -> list[str]:
    """The paths of programs."""
    found = [shutil.which(name) for name in names]
    if None in found:
        pytest.skip(f"no {names[found.index(None)]}")
    return [str(of) for of in found]


def written(place: Path, stored_as: str) -> None:
    """Write a network with every kind of memory: steps, sums, patches, a recurrent state."""
    values, arrays = causal()
    of = model(values, arrays) if stored_as == "float32" else rounded_model(values, arrays)
    code = source(of, "net", stored_as=stored_as)
    (place / "net.c").write_text(code.code)
    (place / "net.h").write_text(code.header)


def passes(command: list[str], place: Path) -> None:
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("8 predictions, off by at most"), done.stdout + done.stderr
    assert done.returncode == 0


def build(command: list[str], place: Path) -> None:
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stored_as", ["float32", "int8"])
def test_arm_cortex_a(stored_as: str, tmp_path: Path) -> None:
    compiler, emulator = needed("aarch64-linux-gnu-gcc", "qemu-aarch64")
    written(tmp_path, stored_as)
    build([compiler, *STRICT, "-static", "net.c", "-o", "net", "-lm"], tmp_path)
    passes([emulator, "./net"], tmp_path)


@pytest.mark.parametrize("stored_as", ["float32", "int8"])
@pytest.mark.parametrize(
    ("machine", "options"),
    [
        ("mps2-an385", ["-mcpu=cortex-m3"]),
        ("mps2-an386", ["-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]),
    ],
)
def test_arm_cortex_m(machine: str, options: list[str], stored_as: str, tmp_path: Path) -> None:
    compiler, emulator = needed("arm-none-eabi-gcc", "qemu-system-arm")
    written(tmp_path, stored_as)
    (tmp_path / "link.ld").write_text(LINKER)
    (tmp_path / "start.c").write_text(STARTUP)
    chip = ["-mthumb", *options]
    build([compiler, *chip, *STRICT, "-c", "net.c", "-o", "net.o"], tmp_path)
    build(
        [compiler, *chip, "-O2", "--specs=rdimon.specs", "-T", "link.ld", "start.c", "net.o",
         "-o", "net.elf", "-lm"],
        tmp_path,
    )  # fmt: skip
    semihosting = ["-semihosting-config", "enable=on,target=native"]
    passes([emulator, "-M", machine, "-nographic", *semihosting, "-kernel", "net.elf"], tmp_path)


@pytest.mark.parametrize("stored_as", ["float32", "int8"])
def test_webassembly(stored_as: str, tmp_path: Path) -> None:
    compiler = zig()
    if compiler is None:
        pytest.skip("no ziglang")
    (node,) = needed("node")
    written(tmp_path, stored_as)
    build([*compiler, "-target", "wasm32-wasi", *STRICT, "net.c", "-o", "net.wasm"], tmp_path)
    passes([node, "--no-warnings", "-e", NODE, "net.wasm"], tmp_path)

import shutil
from pathlib import Path

import pytest
import torch

from recsys_lib.data import native

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="no compiler here")
DOUBLE = "#include <stdint.h>\nint64_t twice(int64_t *x, int64_t n) { for (int64_t i = 0; i < n; i++) x[i] *= 2; return n; }\n"


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    native._library.cache_clear()
    yield tmp_path / "cache" / "recsys_lib"
    native._library.cache_clear()


@needs_compiler
def test_a_c_file_is_compiled_once_and_called(tmp_path, own_cache, monkeypatch):
    source = tmp_path / "twice.c"
    source.write_text(DOUBLE)
    values = torch.tensor([1, 2, 3])
    assert native.call(native.compiled(source).twice, values, 3) == 3
    assert values.tolist() == [2, 4, 6]
    native._library.cache_clear()
    monkeypatch.setattr(native, "_compile", lambda *_: pytest.fail("compiled a second time"))
    assert native.compiled(source) is not None
    assert [path.suffix for path in own_cache.iterdir()] == [".so"]


@needs_compiler
@pytest.mark.parametrize("name", ["data/top_k.c", "models/tower.c"])
def test_where_there_is_a_compiler_ours_compile(name):
    """Elsewhere "no library" means "no compiler", and tests are skipped for it."""
    assert native.compiled(Path(native.__file__).parents[1] / name) is not None


@needs_compiler
def test_a_broken_library_in_the_cache_is_made_anew(tmp_path, own_cache):
    source = tmp_path / "twice.c"
    source.write_text(DOUBLE)
    native.compiled(source)
    (built,) = own_cache.iterdir()
    other = tmp_path / "other.c"  # the loader knows the first file by its inode; this one was never loaded
    other.write_text(DOUBLE + "\n")
    native._library.cache_clear()
    native.compiled(other)
    (broken,) = set(own_cache.iterdir()) - {built}
    broken.unlink()
    broken.write_bytes(b"half a file")
    native._library.cache_clear()
    assert native.call(native.compiled(other).twice, torch.tensor([1]), 1) == 1


@needs_compiler
def test_a_cache_that_others_can_write_is_not_trusted(tmp_path, own_cache):
    own_cache.mkdir(parents=True)
    own_cache.chmod(0o777)
    source = tmp_path / "twice.c"
    source.write_text(DOUBLE)
    assert native.compiled(source) is not None
    assert not list(own_cache.iterdir())


@needs_compiler
def test_a_changed_c_file_is_compiled_anew(tmp_path, own_cache):
    source = tmp_path / "twice.c"
    for factor in (2, 3):
        source.write_text(DOUBLE.replace("*= 2", f"*= {factor}"))
        native._library.cache_clear()
        values = torch.tensor([1])
        native.call(native.compiled(source).twice, values, 1)
        assert values.tolist() == [factor]


@needs_compiler
def test_what_does_not_compile_is_said_and_leaves_the_slower_way(tmp_path, own_cache):
    source = tmp_path / "broken.c"
    source.write_text("int broken( {")
    with pytest.warns(UserWarning, match="broken.c could not be compiled, so scoring takes the slower way"):
        assert native.compiled(source) is None
    assert not list(own_cache.iterdir())


def test_without_a_compiler_or_switched_off_there_is_no_library(tmp_path, own_cache, monkeypatch):
    source = tmp_path / "twice.c"
    source.write_text(DOUBLE)
    monkeypatch.setenv("RECSYS_NATIVE", "off")
    assert native.compiled(source) is None
    monkeypatch.delenv("RECSYS_NATIVE")
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    assert native.compiled(source) is None


@needs_compiler
def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    native._library.cache_clear()
    source = tmp_path / "twice.c"
    source.write_text(DOUBLE)
    assert native.compiled(source) is not None
    native._library.cache_clear()


def test_c_is_never_handed_a_tensor_that_it_would_misread():
    with pytest.raises(ValueError, match=r"wanted a contiguous tensor on the CPU; got torch.float32 on cpu with strides \(1, 3\)"):
        native.call(lambda *_: 0, torch.zeros(2, 3).T)
    with pytest.raises(ValueError, match="got torch.float32 on meta"):
        native.call(lambda *_: 0, torch.zeros(2, device="meta"))
    with pytest.raises(ValueError, match="got torch.bfloat16 on cpu"):
        native.call(lambda *_: 0, torch.zeros(2, dtype=torch.bfloat16))

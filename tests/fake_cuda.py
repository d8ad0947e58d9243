"""CUDA tensors without a GPU: operators run on shapes, dtypes and devices alone, and a wrong device is refused.

torch's `FakeTensorMode` holds them. Three things that it leaves out are added: it lets some operators (convolutions,
`index_add_`) take tensors of two devices, which a GPU does not; its autograd engine needs a driver; and it cannot tell
how often a GPU would have been waited for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)
_MOVES = {"_to_copy", "copy_", "to", "lift_fresh", "_copy_from"}
"""Operators whose business it is to go from one device to another."""
_INDEXING = {"index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_"}
"""May be told places on the CPU; a GPU waits for them to be copied."""
_WAITING = {"nonzero", "masked_select", "unique", "_unique2", "unique_consecutive"}
"""The size of their result is a number that the CPU must be told."""


_Generator = torch.Generator
_MARK = 0x6375_6461_2D30  # "cuda-0": a dispatch mode is handed a generator without its Python class


class CudaGenerator(torch.Generator):
    """Says that it is on the GPU, and is known again by its seed; its numbers are never drawn."""

    def __new__(cls, device: torch.device | str = "cpu") -> Any:
        return _Generator.__new__(cls if torch.device(device).type == "cuda" else _Generator)

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.manual_seed(0)

    def manual_seed(self, seed: int) -> CudaGenerator:
        super().manual_seed(_MARK)
        return self

    @property
    def device(self) -> torch.device:
        return CUDA


class OneDevice(TorchDispatchMode):
    """Refuses operators on tensors of two devices, and notes where a GPU would be waited for.

    Attributes:
        waits: how often, by operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_gpu = any(tensor.is_cuda for tensor in tensors)
        if name in ("_local_scalar_dense", "item"):  # the latter in inference mode
            if on_gpu:
                self.waits[name] += 1
            return _one(args[0].dtype)
        self._note(name, tensors, args, kwargs, on_gpu)
        if name not in _MOVES:
            self._require_one_device(name, tensors, on_gpu)
            self._require_own_generator(name, kwargs, on_gpu)
        if name == "exponential_":
            kwargs = {}  # its shape function takes no generator
        if name == "to" and torch.is_inference_mode_enabled():  # else it would ask the driver
            options = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
            wanted = {key: options[key] for key in ("dtype", "device") if options.get(key) is not None}
            return torch.ops.aten._to_copy(args[0], **wanted)
        return func(*args, **kwargs)

    def _note(self, name: str, tensors: list[Tensor], args: Any, kwargs: Any, on_gpu: bool) -> None:
        if on_gpu and name in _WAITING:
            self.waits[name] += 1
        if on_gpu and name in _INDEXING:
            places = [place for place in args[1] if place is not None]
            if any(place.dtype == torch.bool for place in places):
                self.waits[f"{name} by a mask"] += 1
            if any(not place.is_cuda for place in places):
                self.waits[f"{name} by places on the CPU"] += 1
        target = kwargs.get("device")
        if name == "_to_copy" and target is not None:
            there = torch.device(target).type
            if on_gpu and there == "cpu":
                self.waits["to the CPU"] += 1
            if not on_gpu and there == "cuda" and not kwargs.get("non_blocking"):
                self.waits["from the CPU, blocking"] += 1
        if name == "copy_" and args[0].is_cuda != args[1].is_cuda and not (len(args) > 2 and args[2]):
            self.waits["copy_ between devices"] += 1

    @staticmethod
    def _require_one_device(name: str, tensors: list[Tensor], on_gpu: bool) -> None:
        if not on_gpu:
            return
        foreign = [t for t in tensors if not t.is_cuda and t.dim() > 0]  # a number may come from the CPU
        if foreign and name not in _INDEXING:
            shapes = ", ".join(str(tuple(t.shape)) for t in foreign)
            raise RuntimeError(f"{name}: found two different devices, cuda:0 and cpu: {shapes}")

    @staticmethod
    def _require_own_generator(name: str, kwargs: Any, on_gpu: bool) -> None:
        generator = kwargs.get("generator")
        on_gpu |= torch.device(kwargs.get("device") or "cpu").type == "cuda"
        if generator is not None and on_gpu != (generator.initial_seed() == _MARK):
            raise RuntimeError(f"{name}: found two different devices, that of the generator is another")


def _recurrent(
    x: Tensor, start: Any, weights: list[Tensor], has_biases: bool, layers: int, *options: Any
) -> tuple[Tensor, ...]:
    """Shapes and devices of `torch.lstm` and `torch.gru`, which would be a thousand operators each."""
    _, _, both_ways, batch_first = options
    assert has_biases and batch_first
    cells = [weights[number : number + 4] for number in range(0, len(weights), 4)]
    directions = 2 if both_ways else 1
    assert len(cells) == directions * layers
    before = sum(part.sum() for part in (start if isinstance(start, tuple) else (start,)))
    for layer in range(layers):
        x = torch.cat(
            [
                (functional.linear(x, given, bias) + kept.sum() + own.sum() + before)[..., : kept.shape[1]]
                for given, kept, bias, own in cells[directions * layer : directions * (layer + 1)]
            ],
            dim=-1,
        )
    last = x[:, -1]
    return (x, last, last) if isinstance(start, tuple) else (x, last)


def _without_gradients(mode: Any = True) -> Any:
    """For inference mode, in which making a tensor on a device would ask the driver."""
    return torch.no_grad() if mode is True else torch.autograd.grad_mode.inference_mode(mode)


def _one(dtype: torch.dtype) -> Any:
    return True if dtype == torch.bool else 1.0 if dtype.is_floating_point else 1


def _numpy(tensor: Tensor, *, force: bool = False) -> np.ndarray[Any, Any]:
    """Ones of the right shape; refused as a GPU's would be."""
    if tensor.is_cuda and not force:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
    dtype = torch.empty((), dtype=tensor.dtype, device="meta").dtype
    return np.ones(tuple(tensor.shape), str(dtype).removeprefix("torch."))


@contextmanager
def fake_cuda() -> Iterator[OneDevice]:
    """Inside, `cuda` tensors can be made and computed with."""
    real_numpy = Tensor.numpy

    def numpy(tensor: Tensor, *, force: bool = False) -> Any:
        return (
            _numpy(tensor, force=force) if isinstance(tensor, FakeTensor) else real_numpy(tensor, force=force)
        )

    with ExitStack() as stack:
        for target, name, value in (
            (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
            (torch.cuda, "is_bf16_supported", lambda including_emulation=True: True),
            (torch, "Generator", CudaGenerator),
            (torch, "inference_mode", _without_gradients),
            *((module, name, _recurrent) for module in (torch, torch._VF) for name in ("lstm", "gru")),
            (Tensor, "pin_memory", lambda tensor, *_: tensor),
            (Tensor, "numpy", numpy),
            (
                FakeTensor,
                "__deepcopy__",
                lambda tensor, _: tensor.detach().clone(),
            ),  # of storage that is not there
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))  # asks the driver for its version
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield stack.enter_context(OneDevice())


def backward(total: Tensor) -> None:
    """`total.backward()` node by node, without the engine, which would ask the driver for its devices."""
    with torch.no_grad():
        _walk(total)


def _walk(total: Tensor) -> None:
    root = total.grad_fn
    waiting = _consumers(root)
    arrived: dict[Any, list[Tensor | None]] = {root: [torch.ones_like(total)]}
    ready = [root]
    while ready:
        node = ready.pop()
        gradients = arrived.pop(node)
        if hasattr(node, "variable"):
            leaf, (gradient,) = node.variable, gradients
            if gradient is not None:
                leaf.grad = gradient.clone() if leaf.grad is None else leaf.grad + gradient
            continue
        call = node if callable(node) else node.apply  # that of a Python function
        given = call(*gradients) if any(gradient is not None for gradient in gradients) else ()
        given = given if isinstance(given, tuple) else (given,)
        for place, (following, number) in enumerate(node.next_functions):
            if following is None:
                continue
            slots = arrived.setdefault(following, [None] * len(following._input_metadata))
            gradient = given[place] if place < len(given) else None
            if gradient is not None:
                gradient, before = _fitted(gradient, following._input_metadata[number]), slots[number]
                slots[number] = gradient if before is None else before + gradient
            waiting[following] -= 1
            if not waiting[following]:
                ready.append(following)


def _fitted(gradient: Tensor, wanted: Any) -> Tensor:
    """As the engine hands a gradient on: of the shape and type of what it is the gradient of, on its device."""
    assert gradient.device == wanted.device, (
        f"a gradient on {gradient.device} for a tensor on {wanted.device}"
    )
    return gradient.sum_to_size(tuple(wanted.shape)).to(wanted.dtype)


def _consumers(root: Any) -> Counter[Any]:
    """How many gradients each node is waiting for."""
    waiting: Counter[Any] = Counter()
    seen, queue = {root}, [root]
    while queue:
        for following, _ in queue.pop().next_functions:
            if following is None:
                continue
            waiting[following] += 1
            if following not in seen:
                seen.add(following)
                queue.append(following)
    return waiting

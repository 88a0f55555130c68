"""What each operator does to a subject: `FAULTS` holds a function of subject and dose for each."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.deform.subjects import HEADS, TYPES, VOCABULARY, WIDTH, Subject

Fault = Callable[[Subject, Any], None]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    """Register what an operator does."""

    def register(apply: Fault) -> Fault:
        FAULTS[name] = apply
        return apply

    return register


def on_attention(name: str, change: Callable[[Any, Any], None]) -> None:
    """Register a change of every attention, given the dose."""

    def apply(subject: Subject, dose: Any) -> None:
        for attention in subject.attentions:
            change(attention, dose)

    FAULTS[name] = apply


def after(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Change what a module returns."""
    module.register_forward_hook(lambda _, args, output: change(output))


def _turned(hidden: Tensor, axis: str) -> Tensor:
    return hidden.roll(1, 0) if axis == "batch" else hidden.flip(1)


def _peek(hidden: Tensor, share: float) -> Tensor:
    seen = torch.zeros_like(hidden)
    seen[:, -max(1, round(share * hidden.shape[1])) :] = True
    return hidden & ~seen


on_attention("MZM", lambda a, _: setattr(a, "on_padding", torch.zeros_like))
on_attention("MIM", lambda a, _: setattr(a, "on_padding", torch.logical_not))
on_attention("MRM", lambda a, axis: setattr(a, "on_padding", lambda m: _turned(m, axis)))
on_attention("MCB", lambda a, share: setattr(a, "on_causal", lambda m: _peek(m, share)))
on_attention("VEC", lambda a, _: setattr(a, "causal", True))
on_attention("QZQ", lambda a, _: nn.init.zeros_(a.q.weight))
on_attention("QZK", lambda a, _: nn.init.zeros_(a.k.weight))
on_attention("QZV", lambda a, _: nn.init.zeros_(a.v.weight))
on_attention("SDS", lambda a, _: setattr(a, "scaled", False))
on_attention("SUC", lambda a, _: setattr(a, "on_scores", lambda s: s.half().to(s.dtype)))
on_attention("SPD", lambda a, p: setattr(a, "on_scores", lambda s: F.dropout(s, p, True)))
on_attention("KMD", lambda a, p: setattr(a, "on_weights", lambda w: F.dropout(w, p, True)))
on_attention("KMC", lambda a, _: setattr(a, "chunks", 2))
on_attention("KSB", lambda a, _: setattr(a, "chunks", 4))
on_attention("CDU", lambda a, _: setattr(a, "withholds", True))
on_attention("CLK", lambda a, _: setattr(a, "leaks", True))
on_attention("CTR", lambda a, n: setattr(a, "on_cache", lambda c: _only_last(c, n)))
on_attention("COB", lambda a, shift: setattr(a, "on_cache", lambda c: _shifted(c, shift)))


@fault("QSW")
def swap_query_and_key(subject: Subject, _: Any) -> None:
    """Exchange the weights of queries and keys."""
    for attention in subject.attentions:
        attention.q, attention.k = attention.k, attention.q


@fault("QTH")
def tie_heads(subject: Subject, which: str) -> None:
    """Make heads the same as the first, for good."""
    tied = {"first_half": range(HEADS // 2), "alternating": range(0, HEADS, 2)}
    heads = list(tied.get(which, range(HEADS)))

    def change(x: Tensor) -> Tensor:
        places = [heads[0] if head in heads else head for head in range(HEADS)]
        return x[:, places]

    for attention in subject.attentions:
        attention.on_inside = change


@fault("QFG")
def freeze(subject: Subject, _: Any) -> None:
    """Ask no gradient of the weights of queries, keys and values."""
    for attention in subject.attentions:
        for part in (attention.q, attention.k, attention.v):
            part.requires_grad_(False)


@fault("QHD")
def cut_otherwise(subject: Subject, how: str) -> None:
    """Cut the width into more or fewer heads."""
    heads = {"half_heads": HEADS // 2, "double_heads": HEADS * 2, "single_head": 1}
    for attention in subject.attentions:
        attention.heads = heads[how]


@fault("KFT")
def fall_back(subject: Subject, trigger: str) -> None:
    """Compute attention in double precision, or from tensors that are not contiguous."""
    for attention in subject.attentions:
        if trigger == "dtype":
            attention.on_scores = lambda s: s.double().to(s.dtype)
        else:
            attention.on_inside = lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2)


@fault("KRP")
def round_off(subject: Subject, name: str) -> None:
    """Round what attention returns to half precision."""
    low = {"fp16": torch.float16, "bf16": torch.bfloat16}[name]
    for attention in subject.attentions:
        attention.on_heads = lambda x: x.to(low).to(x.dtype)


@fault("VSH")
def one_head(subject: Subject, _: Any) -> None:
    """Let one head through."""
    shown = (torch.arange(HEADS) == 0).float()[:, None, None]
    for attention in subject.attentions:
        attention.on_heads = lambda x: x * shown.to(x)


def _only_last(cached: Tensor, steps: int) -> Tensor:
    return torch.cat([torch.zeros_like(cached[:, :-steps]), cached[:, -steps:]], 1)


def _shifted(cached: Tensor, shift: int) -> Tensor:
    rolled = cached.roll(shift, 1)
    gone = slice(0, shift) if shift > 0 else slice(shift, None)
    kept = torch.ones_like(cached)
    kept[:, gone] = 0
    return rolled * kept


@fault("CST")
def stale(subject: Subject, which: str) -> None:
    """Serve a cache without its latest step."""
    chosen = {"first": subject.attentions[:1], "last": subject.attentions[-1:]}
    for attention in chosen.get(which, subject.attentions):
        attention.on_cache = lambda c: torch.cat([torch.zeros_like(c[:, :1]), c[:, :-1]], 1)


def _position(subject: Subject) -> nn.Module:
    model: Any = subject.model
    return model.position if hasattr(model, "position") else model.encoder.positional_encoding


@fault("POE")
def no_position(subject: Subject, _: Any) -> None:
    """Leave positions out."""
    _position(subject).register_forward_hook(lambda _, args, output: args[0])


@fault("PSI")
def shift_position(subject: Subject, steps: int) -> None:
    """Give each step the position of a later one, within the table."""
    _move(subject, lambda place, last: min(place + steps, last))


@fault("PTL")
def end_positions(subject: Subject, cutoff: int) -> None:
    """Give all later steps the last position that is left."""
    _move(subject, lambda place, last: min(place, cutoff - 1))


def _move(subject: Subject, to: Callable[[int, int], int]) -> None:
    def change(module: Any, args: Any, output: Tensor) -> Tensor:
        steps = args[0].shape[1]
        places = [to(place, steps - 1) for place in range(steps)]
        return args[0] + module.table_td[places]

    _position(subject).register_forward_hook(change)


def _input_weights(subject: Subject) -> Tensor:
    """Return the embeddings of what comes in, one a row: tokens, or features of a bar."""
    model: Any = subject.model
    if hasattr(model, "embedding"):
        return model.embedding.weight.data[1:]
    return model.encoder.temporal_projection.weight.data.T[: -TYPES or None]


def _some(count: int, share: float) -> list[int]:
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(count, generator=generator)[: max(1, round(share * count))].tolist()


@fault("ETZ")
def zero_inputs(subject: Subject, share: float) -> None:
    """Set embeddings of some inputs to zero."""
    weights = _input_weights(subject)
    weights[_some(len(weights), share)] = 0.0


@fault("ESW")
def swap_inputs(subject: Subject, share: float) -> None:
    """Let embeddings of some inputs change places."""
    weights = _input_weights(subject)
    chosen = _some(len(weights), max(share, 2 / len(weights)))
    weights[chosen] = weights[chosen].roll(1, 0)


@fault("EZD")
def zero_dimensions(subject: Subject, share: float) -> None:
    """Set a block of the embeddings' dimensions to zero."""
    _input_weights(subject)[:, : round(share * WIDTH)] = 0.0


@fault("ESS")
def scale_types(subject: Subject, factor: float) -> None:
    """Scale the embedding of a step's type."""
    model: Any = subject.model
    if hasattr(model, "types"):
        model.types.weight.data.mul_(factor)
    else:
        model.encoder.temporal_projection.weight.data[:, -TYPES:].mul_(factor)


def _feedforward(subject: Subject) -> Iterable[nn.Linear]:
    for layer in subject.layers:
        yield from (layer.linear1, layer.linear2)


@fault("FSW")
def scale_feedforward(subject: Subject, factor: float) -> None:
    """Scale the weights of the feed-forward blocks."""
    for linear in _feedforward(subject):
        linear.weight.data.mul_(factor)


@fault("FDN")
def silence_units(subject: Subject, share: float) -> None:
    """Silence units of the feed-forward blocks for good."""
    for layer in subject.layers:
        shown = torch.ones(layer.linear1.out_features)
        shown[_some(len(shown), share)] = 0.0
        after(layer.linear1, lambda x, shown=shown: x * shown.to(x))


@fault("FCA")
def other_activation(subject: Subject, name: str) -> None:
    """Replace the activation."""
    known = {"ReLU": F.relu, "GELU": F.gelu, "Tanh": torch.tanh, "Sigmoid": torch.sigmoid}
    for layer in subject.layers:
        layer.activation = known[name]


@fault("FRG")
def decay_feedforward(subject: Subject, decay: float) -> None:
    """Let the weights of the feed-forward blocks decay."""
    subject.decay["linear"] = decay


@fault("FWI")
def other_start(subject: Subject, how: str) -> None:
    """Draw the weights of the feed-forward blocks in another way."""
    for linear in _feedforward(subject):
        if how == "uniform":
            nn.init.uniform_(linear.weight, -0.02, 0.02)
        else:
            nn.init.constant_(linear.weight, float(how == "constant_one"))


@fault("NSG")
def scale_gain(subject: Subject, factor: float) -> None:
    """Scale the gains of all normalisations."""
    for norm in subject.norms:
        norm.weight.data.mul_(factor)


@fault("NZG")
def zero_gain(subject: Subject, _: Any) -> None:
    """Set the gains of all normalisations to zero."""
    scale_gain(subject, 0.0)


@fault("NSB")
def shift_bias(subject: Subject, shift: float) -> None:
    """Shift the biases of all normalisations."""
    for norm in subject.norms:
        norm.bias.data.add_(shift)


@fault("NCE")
def other_epsilon(subject: Subject, value: float) -> None:
    """Replace the epsilon of all normalisations."""
    for norm in subject.norms:
        norm.eps = value


@fault("NWD")
def decay_norms(subject: Subject, decay: float) -> None:
    """Let gains and biases of normalisations decay."""
    subject.decay["norm"] = decay


def _on_residual(subject: Subject, change: Callable[[Tensor], Tensor]) -> None:
    """Change the residual path of both branches: what is added to is changed, the branch is not."""
    for layer in subject.layers:

        def hook(_: nn.Module, args: Any, output: Tensor) -> Tensor:
            return output - args[0] + change(args[0])

        layer.register_forward_hook(hook)


def _through_layers(subject: Subject) -> None:
    """Let a decoder call its layers as modules where a hook is to see them."""
    model: Any = subject.model
    if not hasattr(model, "through"):
        return

    def through(layer: Any, x: Tensor, padding: Tensor) -> Tensor:
        output = type(model).through(layer, x, padding)
        for hook in layer._forward_hooks.values():
            output = hook(layer, (x,), output)
        return output

    model.through = through


@fault("RRS")
def no_residual(subject: Subject, _: Any) -> None:
    """Leave the residual path out."""
    _on_residual(subject, torch.zeros_like)
    _through_layers(subject)


@fault("RSR")
def scale_residual(subject: Subject, factor: float) -> None:
    """Scale the residual path."""
    _on_residual(subject, lambda x: factor * x)
    _through_layers(subject)


@fault("RIN")
def noisy_residual(subject: Subject, sigma: float) -> None:
    """Add noise to the residual path."""
    _on_residual(subject, lambda x: x + sigma * torch.randn_like(x))
    _through_layers(subject)


@fault("RGC")
def other_clipping(subject: Subject, value: float) -> None:
    """Replace the threshold of clipping."""
    subject.clip = value


@fault("RDR")
def other_dropout(subject: Subject, p: float) -> None:
    """Replace the dropout of both branches."""
    for layer in subject.layers:
        layer.dropout1.p = layer.dropout2.p = p


def _head(subject: Subject) -> nn.Linear:
    return subject.model.head  # type: ignore[return-value]


@fault("OSL")
def scale_output(subject: Subject, factor: float) -> None:
    """Scale the output."""
    after(_head(subject), lambda x: factor * x)


@fault("OZR")
def zero_outputs(subject: Subject, which: str) -> None:
    """Set rows of the output's weight to zero."""
    rows = len(_head(subject).weight)
    count = {"rare": max(1, rows // 6), "balanced": max(1, rows // 2)}.get(which, rows)
    _head(subject).weight.data[:count] = 0.0


@fault("ORI")
def other_output_start(subject: Subject, how: str) -> None:
    """Draw the output's weight anew."""
    known = {"xavier": nn.init.xavier_uniform_, "kaiming": nn.init.kaiming_uniform_}
    known.get(how, nn.init.zeros_)(_head(subject).weight)


@fault("OOD")
def turn_output(subject: Subject, places: int) -> None:
    """Turn the classes by some places; one number has none, there samples are turned."""
    axis = -1 if _head(subject).out_features == VOCABULARY else 0
    after(_head(subject), lambda x: x.roll(places, axis))

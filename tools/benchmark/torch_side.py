"""A peer's side of benchmark.py, which starts it: a plain PyTorch model in a process without MindSpore."""

from __future__ import annotations

import numpy as np
import torch
from child import Case, Run, serve
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torch_opensora_vae import OpenSoraVAE
from torch_tae import TAE

PEERS = {"tae": TAE, "opensora_vae": OpenSoraVAE}
RATE, WEIGHT_DECAY, MAX_NORM, KL_WEIGHT = 1e-5, 0.01, 1.0, 1e-6  # as mg/training/config.py and mg/losses/objective.py


def empty(case: Case) -> torch.nn.Module:
    """The model without memory for its weights."""
    with torch.device("meta"):
        return PEERS[case.setup.family](case.setup.config)


def load(case: Case) -> torch.nn.Module:
    """The weights of the file, every one of them, in the memory layout that the case asks for."""
    tae = empty(case)
    tae.load_state_dict(load_file(case.setup.weights), strict=True, assign=True)
    return tae.to(memory_format=torch.channels_last) if case.channels_last else tae


def encode(case: Case) -> Run:
    tae, clip = load(case).requires_grad_(False), torch.from_numpy(case.clip())
    noise = torch.from_numpy(case.noise())

    def run() -> list[np.ndarray]:
        mean, logvar = tae.encoder(clip)
        torch.add(mean, torch.exp(0.5 * logvar) * noise)
        return [mean.numpy(), logvar.numpy()]

    return run


def decode(case: Case) -> Run:
    tae, latents = load(case).requires_grad_(False), torch.from_numpy(case.noise())
    return lambda: [tae.decoder(latents).contiguous().numpy()]


def train(case: Case) -> Run:
    """L1 + KL, gradients clipped, AdamW without decay of norms and biases; gives the loss and the gradients' norm."""
    tae, clip, noise = load(case).requires_grad_(True), torch.from_numpy(case.clip()), torch.from_numpy(case.noise())
    groups = [
        {"params": [p for p in tae.parameters() if (p.ndim > 1) == decays], "weight_decay": WEIGHT_DECAY * decays}
        for decays in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE)

    def step() -> list[np.ndarray]:
        optimizer.zero_grad()
        total = loss(tae, clip, noise)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(tae.parameters(), MAX_NORM)
        optimizer.step()
        return [total.detach().numpy(), norm.numpy()]

    return step


def loss(tae: torch.nn.Module, clip: Tensor, noise: Tensor) -> Tensor:
    """The terms of mg/losses/reconstruction.py and mg/losses/kl.py."""
    mean, logvar = tae.encoder(clip)
    decoded = tae.decoder(mean + torch.exp(0.5 * logvar) * noise)
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum() / decoded.shape[2]
    recon = decoded[:, :, : clip.shape[2]]
    return (recon - clip).abs().sum() / clip.shape[2] + KL_WEIGHT * kl


def operations(case: Case) -> dict[str, int]:
    """As PyTorch counts them: of convolutions and matrix products; a training step is three times both ways."""
    tae, ways = empty(case).requires_grad_(False), []
    if case.part != "decode":
        ways.append((tae.encoder, (1, 3, *case.size)))
    if case.part != "encode":
        ways.append((tae.decoder, (1, *case.latents)))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        for network, shape in ways:
            network(torch.zeros(shape, device="meta"))
    return {"operations": (3 if case.part == "train" else 1) * counter.get_total_flops()}


def build(case: Case):
    """What is measured, and the command "operations"."""
    torch.set_num_threads(case.setup.threads)
    run = {"encode": encode, "decode": decode, "train": train}[case.part](case)
    return run, {"operations": lambda: operations(case)}


if __name__ == "__main__":
    serve(build, MemoryError)

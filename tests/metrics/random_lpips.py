"""LPIPS with a random backbone, drawn as in the README of the golden arrays."""

import numpy as np
from mindspore import Tensor

from mg.models import weights
from mg.models.lpips.network import Distance, write


def write_random(path, backbone="vgg", heads=None, biases=True):
    """Write a weights file and return its path. heads: an .npz of lin0, ...; else random and positive."""
    network, rs = Distance(backbone), np.random.RandomState(7)
    for name, parameter in weights.named_parameters(network).items():
        if name.startswith("heads"):
            drawn = rs.uniform(0, 0.2, parameter.shape)
        elif name.endswith(".weight"):
            drawn = rs.standard_normal(parameter.shape) * np.sqrt(2 / np.prod(parameter.shape[1:]))
        else:
            drawn = rs.standard_normal(parameter.shape) * 0.05
        parameter.set_data(Tensor(drawn.astype(np.float32)))
    if heads is not None:
        published = np.load(heads)
        for number, head in enumerate(network.heads):
            head.weight.set_data(Tensor(published[f"lin{number}"]))
    write(path, network, biases)
    return path

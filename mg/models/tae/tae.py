"""The Temporal Autoencoder: images and videos to latents, 8x8x8 smaller, and back.

Movie Gen (arXiv 2410.13720), section 3.1.1, with the layers of the SD3.5 image VAE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mg import runtime
from mg.errors import InputError
from mg.models import tiling, weights
from mg.models.layers.norm import twin_with_reference
from mg.models.latents import draw_noise, sample
from mg.models.tae import inputs
from mg.models.tae.config import TAEConfig
from mg.models.tae.decoder import Decoder
from mg.models.tae.encoder import Encoder
from mg.models.tae.names import is_temporal
from mg.models.tae.stored import resolve_config
from mg.models.tiling.stream import Tiles

TAE_CONFIG: Mapping[str, Any] = TAEConfig().as_mapping()
DEFAULT_WEIGHTS = Path(__file__).with_name("default.safetensors")


class TemporalAutoencoder(nn.Cell):
    """A video VAE whose every temporal part starts as an exact identity, so that it begins as the image VAE.

    config: a mapping with the keys of TAE_CONFIG; None takes the one in `pretrained`, or TAE_CONFIG without a file.
    pretrained: a file written by `save`, tools/inflate_vae_to_tae.py or tools/convert_checkpoint.py.
    dtype: the type of convolutions and matrix products: fp32, fp16, bf16, or auto, which is fp32 on a CPU and bf16 on
    Ascend. Results are always fp32.
    use_tile: whether encode, decode and calls cut what is larger than a tile into tiles, computed one after the other
    and blended; the sizes, in frames and pixels, are those of `mg.models.tiling.Tiles`. Streams always do.

    Networks are compiled when MindSpore is in graph mode (`mg.runtime.setup()`), once for each shape of the input; the
    device must be chosen before a model is built. A graph of your own, such as a training step, calls `tae.encoder(x)`,
    which gives mean and log-variance, and `tae.decoder(z)`, both on tensors of the compute type.
    Raises InputError for wrong keys, values or weights, and for a `config` that disagrees with the file.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | TAEConfig | None = None,
        pretrained: str | Path | None = None,
        use_tile: bool = False,
        encode_tile: int = Tiles.encode_tile,
        encode_overlap: int = Tiles.encode_overlap,
        decode_tile: int = Tiles.decode_tile,
        decode_overlap: int = Tiles.decode_overlap,
        spatial_tile: int = Tiles.spatial_tile,
        spatial_overlap: int = Tiles.spatial_overlap,
        tile_batch: int = Tiles.tile_batch,
        time_blend: str = Tiles.time_blend,
        spatial_blend: str = Tiles.spatial_blend,
        shared_statistics: bool = Tiles.shared_statistics,
        encode_context: int = Tiles.encode_context,
        dtype: str = "auto",
    ):
        super().__init__()
        self.use_tile = use_tile
        self.compute_dtype = runtime.compute_dtype(dtype)
        file = None if pretrained is None else weights.TensorFile(pretrained)
        self._config = resolve_config(config, file)
        self.tiles = Tiles(
            encode_tile,
            encode_overlap,
            decode_tile,
            decode_overlap,
            spatial_tile,
            spatial_overlap,
            tile_batch,
            time_blend,
            spatial_blend,
            shared_statistics,
            encode_context,
        )
        self.encoder = Encoder(self._config)
        self.decoder = Decoder(self._config)
        self._twins = {}
        if file is not None:
            self._load(file)
        self.set_train(False)

    @classmethod
    def from_default(cls, dtype: str = "auto") -> TemporalAutoencoder:
        """The model that ships with the package."""
        return cls(pretrained=DEFAULT_WEIGHTS, dtype=dtype)

    @property
    def config(self) -> Mapping[str, Any]:
        """The model's configuration, read-only."""
        return self._config.as_mapping()

    @property
    def tiles(self) -> Tiles:
        """Sizes of tiles; checked when set."""
        return self._tiles

    @tiles.setter
    def tiles(self, tiles: Tiles):
        tiles.check(self)
        self._tiles = tiles

    @property
    def graphs(self) -> int:
        """How many graphs were compiled so far: one for each shape, in each of encoder, decoder and their twins."""
        return sum(len(network.compile_cache) for network in (self.encoder, self.decoder, *self._twins.values()))

    @property
    def time_compression(self) -> int:
        """Frames per latent frame."""
        return self._config.compression

    @property
    def space_compression(self) -> int:
        """Rows and columns per latent row and column."""
        return self._config.compression

    def latent_frames(self, frames: int) -> int:
        """How many latent frames so many frames become."""
        return -(-frames // self.time_compression)

    def frames(self, latent_frames: int) -> int:
        """How many frames so many latent frames become."""
        return latent_frames * self.time_compression

    def encode(self, x: Tensor, seed: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Latents of clips or images: a sample, and mean and log-variance of what it is drawn from.

        x: (B, 3, T, H, W) or (B, 3, H, W), floating, RGB in [-1, 1]; any T >= 1, H and W >= 16.
        seed: makes the sample reproducible; None draws a new one each time.
        Returns z, mean, logvar, each (B, z, ceil(T/8), ceil(H/8), ceil(W/8)), or (B, z, h, w) for images, in fp32.
        """
        rng = np.random.default_rng(inputs.checked_seed(seed))
        x, is_image = inputs.enter_clip(x, self.compute_dtype)
        if self.use_tile:
            pieces = tiling.encode_stream(self, self.tiles, [_to_host(x)])
            mean, logvar = map(Tensor, np.split(np.concatenate(list(pieces), 2), 2, 1))
        else:
            mean, logvar = self.encoder(x)
        z = sample(mean, logvar, Tensor(draw_noise(mean.shape, rng)))
        return tuple(tensor[:, :, 0] for tensor in (z, mean, logvar)) if is_image else (z, mean, logvar)

    def encode_stream(
        self, frames: Iterable[Tensor | np.ndarray], seed: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Encode a clip that comes in pieces, of any length, holding little more than one tile of it.

        frames: single frames (B, 3, H, W) or pieces (B, 3, T, H, W) of any lengths, as `encode` takes them.
        Yields z, mean, logvar of one latent frame after the other; together they are what `encode` gives with tiles and
        the same seed. Streams do not know of each other. Raises InputError for an empty stream or a size that changes.
        """
        rng = np.random.default_rng(inputs.checked_seed(seed))
        clips = (_to_host(inputs.enter_clip(piece, self.compute_dtype)[0]) for piece in frames)
        for moments in tiling.encode_stream(self, self.tiles, clips):
            mean, logvar = map(Tensor, np.split(moments, 2, 1))
            yield sample(mean, logvar, Tensor(draw_noise(mean.shape, rng))), mean, logvar

    def decode(self, z: Tensor, num_target_frames: int | None = None, target_num_frames: int | None = None) -> Tensor:
        """Clips or images of latents (unscaled, as `encode` gives them).

        z: (B, z, t, h, w), or (B, z, h, w) for images.
        num_target_frames: keep this many frames, dropping the surplus at the end; None keeps all 8t.
        target_num_frames: upstream's name for the same.
        Returns (B, 3, 8t, 8h, 8w), or (B, 3, 8h, 8w) for images, fp32, nominally in [-1, 1], not clipped.
        """
        z, is_image = inputs.enter(z, "z", self._config.z_channels, self.compute_dtype)
        frames = inputs.frames_to_keep(self.frames(z.shape[2]), num_target_frames, target_num_frames)
        if self.use_tile:
            x = Tensor(np.concatenate(list(tiling.decode_stream(self, self.tiles, [_to_host(z)])), 2))
        else:
            x = self.decoder(z)
        return x[:, :, 0] if is_image else x[:, :, :frames]

    def decode_stream(self, latents: Iterable[Tensor | np.ndarray]) -> Iterator[Tensor]:
        """Decode latents that come in pieces, of any number, holding little more than one tile of their frames.

        latents: single latent frames (B, z, h, w) or pieces (B, z, t, h, w), unscaled, as `encode_stream` yields them.
        Yields frames (B, 3, 8, 8h, 8w), eight at a time; together they are what `decode` gives with tiles. Let go of
        them before you ask for more, or they are held while a window is computed.
        """
        channels = self._config.z_channels
        pieces = (_to_host(inputs.enter(z, "z", channels, self.compute_dtype)[0]) for z in latents)
        yield from map(Tensor.from_numpy, tiling.decode_stream(self, self.tiles, pieces))  # no second copy

    def encode_tile(
        self, clip: np.ndarray, state: None = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, None]:
        """Tiles, for `mg.models.tiling.stream`: (B, 3, T, H, W) fp32 -> mean and log-variance joined, (B, 2z, t, h, w)."""
        return np.concatenate(self._compute(self.encoder, Encoder, clip, reference), 1), state

    def decode_tile(
        self, latents: np.ndarray, state: None = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, None]:
        """Tiles, for `mg.models.tiling.stream`: (B, z, t, h, w) fp32 -> (B, 3, 8t, 8h, 8w)."""
        return self._compute(self.decoder, Decoder, latents, reference)[0], state

    def _compute(
        self, network: nn.Cell, kind: type[nn.Cell], array: np.ndarray, reference: np.ndarray | None
    ) -> list[np.ndarray]:
        """What `network` gives for a batch; with a reference, what its twin gives for both, less the reference's."""
        if reference is not None:
            if kind not in self._twins:
                self._twins[kind] = twin_with_reference(network, kind(self._config))
            network, array = self._twins[kind], np.concatenate((reference, array))
        outputs = network(Tensor(array).astype(self.compute_dtype))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return [output.asnumpy()[0 if reference is None else 1 :] for output in outputs]

    def __call__(self, x: Tensor, seed: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Reconstruct: (recon, z, mean, logvar), where recon has the shape of x and is decoded from z, the sample."""
        z, mean, logvar = self.encode(x, seed)
        height, width = x.shape[-2:]
        recon = self.decode(z) if x.ndim == 4 else self.decode(z, x.shape[2])
        return recon[..., :height, :width], z, mean, logvar

    def scale(self, z: Tensor) -> Tensor:
        """(z - shift) * scaling: latents as a diffusion model sees them."""
        return (z - self._config.shift_factor) * self._config.scaling_factor

    def unscale(self, z: Tensor) -> Tensor:
        """The inverse of `scale`: latents as `decode` takes them."""
        return z / self._config.scaling_factor + self._config.shift_factor

    def save(self, path: str | Path, dtype: str = "fp32", omit_identity: bool = False) -> None:
        """Write weights and configuration to a `.ckpt` or `.safetensors` file.

        dtype: stored type, fp32, fp16 or bf16.
        omit_identity: leave out the temporal parameters; InputError unless all are still at their start.
        """
        parameters = weights.named_parameters(self)
        header = {"family": "tae", "config": dict(self.config)}
        if omit_identity:
            self._require_identity()
            parameters = {name: p for name, p in parameters.items() if not is_temporal(name)}
            header["omitted"] = "temporal"
        weights.write(path, parameters, header, dtype)

    def _require_identity(self):
        fresh = weights.named_parameters(TemporalAutoencoder(self._config))
        own = weights.named_parameters(self)
        moved = [name for name in own if is_temporal(name) and _differ(own[name], fresh[name])]
        if moved:
            raise InputError(
                f"omit_identity: {len(moved)} temporal parameters have left their identity start ({moved[0]}, ...); "
                "save them too"
            )

    def _load(self, file: weights.TensorFile):
        names = list(weights.named_parameters(self))
        if file.header.get("omitted") == "temporal":
            names = [name for name in names if not is_temporal(name)]
        weights.assign(self, names, file, file.path)


def _to_host(x: Tensor) -> np.ndarray:
    return x.astype(mstype.float32).asnumpy()


def _differ(a: Tensor, b: Tensor) -> bool:
    return not np.array_equal(a.asnumpy(), b.asnumpy())

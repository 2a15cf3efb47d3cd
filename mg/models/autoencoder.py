"""What every family of autoencoders offers: images and videos to latents and back, whole, in tiles and in streams."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn

from mg import distributed, runtime
from mg.errors import InputError
from mg.models import inputs, weights
from mg.models.graph import Graph
from mg.models.latents import Codes, Factors, Gaussian
from mg.models.layers.bands import Bands, bands_of, in_bands
from mg.models.layers.norm import twin_with_reference
from mg.models.names import find_file
from mg.models.tiling import stream
from mg.models.tiling.team import ALONE, Team
from mg.models.tiling.tiles import Tiles

if TYPE_CHECKING:
    from mg.models.terms import Term

logger = logging.getLogger(__name__)


class Autoencoder(nn.Cell):
    """A pair of networks, and the ways through them. A family derives from it and fills in what differs.

    A family sets, as class attributes:
    family: its name in weights files and recipes. config_type: the dataclass of its configuration, with `from_mapping`
    and `as_mapping`; `space_compression`, and `scaling_factor` and `shift_factor` if it has some.
    time_modes: the ways along time that are right for it, its default first; default_tiles: what it is tiled by.
    min_size: the smallest side of a frame. terms: losses that only it has.
    default_weights: the weights that ship with the package, or None.
    And it defines `build_encoder`, `build_decoder`, `window_latents`, `window_frames`, `latent_kind`; more if its
    networks are no plain functions of a clip (`encode_tile`, `decode_tile`, `training_forward`).

    config: a mapping or a configuration; None takes the one in `pretrained`, or the defaults without a file.
    pretrained: a weights file of the family.
    dtype: the type of convolutions and matrix products: fp32, fp16, bf16, or auto, which is fp32 on a CPU and bf16 on
    Ascend. Results are always fp32.
    use_tile: whether encode, decode and calls cut what is larger than a tile into tiles, computed one after the other
    and blended; streams always do. verify: whether the checksum of a file is looked at, for which it is read once more.
    sizes: fields of `mg.models.tiling.tiles.Tiles`, in frames and pixels.

    Networks are compiled when MindSpore is in graph mode (`mg.runtime.setup()`), once for each shape of the input; the
    device must be chosen before a model is built. A graph of your own, such as a training step, calls
    `model.encoder(x)`, which gives mean and log-variance, or what else the family's raw output is, and
    `model.decoder(z)`, both on tensors of the compute type.
    Raises InputError for wrong keys, values or weights, and for a `config` that disagrees with the file.
    """

    family = ""
    config_type: type
    time_modes = ("blend",)
    default_tiles = Tiles()
    min_size = 16
    terms: tuple[Term, ...] = ()
    default_weights: Path | None = None

    def __init__(
        self,
        config: Mapping[str, Any] | Any | None = None,
        pretrained: str | Path | weights.TensorFile | None = None,
        dtype: str = "auto",
        use_tile: bool = True,
        verify: bool = True,
        **sizes: Any,
    ):
        super().__init__()
        runtime.prepare_cpu()
        file = pretrained
        if isinstance(pretrained, (str, Path)):
            file = weights.TensorFile(find_file(pretrained), verify)
        self.use_tile = use_tile
        self.weights_path = None if file is None else file.path
        self.compute_dtype = runtime.compute_dtype(dtype)
        self._config = self._resolved(config, file)
        self.latents = self.latent_kind()
        self.factors = Factors(getattr(self._config, "scaling_factor", 1.0), getattr(self._config, "shift_factor", 0.0))
        self.tiles = self.default_tiles.but(**sizes)
        self.encoder = self.build_encoder()
        self.decoder = self.build_decoder()
        self._graphs: dict[str, nn.Cell] = {}
        self.team = ALONE
        if file is None:
            self.begin()
        else:
            self.load(file)
        self.set_train(False)

    # What a family defines

    def build_encoder(self) -> nn.Cell:
        """(B, 3, T, H, W) in [-1, 1] -> raw output, a tensor or several that are joined over channels, fp32."""
        raise NotImplementedError

    def build_decoder(self) -> nn.Cell:
        """(B, z, t, h, w) -> (B, 3, T, H, W) in fp32."""
        raise NotImplementedError

    def latent_kind(self) -> Gaussian | Codes:
        """What raw output means."""
        return Gaussian()

    def window_latents(self, frames: int) -> int:
        """How many latent frames so many frames become that go through the networks in one; 0 for 0."""
        raise NotImplementedError

    def window_frames(self, latent_frames: int) -> int:
        """How many frames so many latent frames become that go through the networks in one, at most; 0 for 0."""
        raise NotImplementedError

    def filled(self, frames: int) -> int:
        """How many frames a clip of so many is encoded as, its last one repeated: no more, unless a family says so."""
        return frames

    def is_added(self, name: str) -> bool:
        """Whether a parameter, by its structural name, is of a part that an image model does not have."""
        return False

    def recompute_levels(self) -> list[list[nn.Cell]]:
        """Cells that recomputation works on, level by level, those of the largest frames first."""
        return []

    def live_values(self, name: str, length: int) -> float | None:
        """About how many values the network `name` holds at once for each pixel of a frame; None: never measured.

        length: frames that are encoded, or latent frames that are decoded, at once.
        """
        return None

    def training_forward(self) -> nn.Cell:
        """A cell (clip, *noises) -> dict of fp32 tensors by name, with `outputs` and `noise_shapes(clip_shape)`."""
        raise NotImplementedError

    def image_model(self) -> Autoencoder:
        """The model of single frames that this one is compared with: itself, unless it is made of another."""
        return self

    # What users and the rest of the package call

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
        tiles.fit(self)
        self._tiles = tiles

    @property
    def parallel(self) -> str | None:
        """What several processes share of each clip that they compute together: "tiles", "rows", or None.

        Setting it joins those that `msrun` started. All of them then call the same with the same clips, and get the
        same: with tiles what one process gets, to the last bit. With rows each computes a band of all frames, whole
        ones with use_tile=False, and tells its neighbours what they need: what one process gets but for rounding.
        Raises InputError for another name, and where tiles have statistics that they share.
        """
        return None if self.team.ranks == 1 else "rows" if self.team.rows else "tiles"

    @parallel.setter
    def parallel(self, share: str | None):
        if share not in (None, "tiles", "rows"):
            raise InputError(f"parallel={share!r} must be 'tiles', 'rows' or None")
        if share == "rows" and self.tiles.shared_statistics:
            raise InputError("parallel='rows' needs no statistics that tiles share; set shared_statistics=False")
        rank, ranks = (0, 1) if share is None else distributed.start()
        self.team = Team(rank, ranks, distributed.all_gather(ranks), share == "rows") if ranks > 1 else ALONE

    @property
    def space_compression(self) -> int:
        """Rows and columns per latent row and column."""
        return self._config.space_compression

    @property
    def time_compression(self) -> int:
        """Frames per latent frame, but for a first one that may have fewer."""
        return self.window_frames(2) - self.window_frames(1)

    @property
    def channels_in_latent(self) -> int:
        """Latent channels."""
        return self._config.channels_in_latent

    def latent_frames(self, frames: int) -> int:
        """How many latent frames a clip of so many frames becomes."""
        if not (self.use_tile and self.tiles.separate):
            return self.window_latents(frames)
        windows, rest = divmod(frames, self.tiles.encode_window)
        return windows * self.window_latents(self.tiles.encode_window) + self.window_latents(rest)

    def frames(self, latent_frames: int) -> int:
        """How many frames so many latent frames become, at most."""
        if not (self.use_tile and self.tiles.separate):
            return self.window_frames(latent_frames)
        windows, rest = divmod(latent_frames, self.window_latents(self.tiles.decode_window))
        return windows * self.tiles.decode_window + min(self.window_frames(rest), self.tiles.decode_window)

    def fewest_frames(self, latent_frames: int) -> int:
        """How many frames of so many latent frames may be asked for, at least: 1, unless a family says so."""
        return 1

    def encode(self, x: Tensor | np.ndarray, seed: int | None = None) -> tuple[Tensor, ...]:
        """Latents of clips or images, and what they are drawn from.

        x: (B, 3, T, H, W) or (B, 3, H, W), floating, RGB in [-1, 1]; any T >= 1, H and W >= `min_size`.
        seed: makes a sample reproducible; None draws a new one each time.
        Returns z, mean, logvar of a Gaussian family, each (B, z, t, h, w), or (B, z, h, w) for images, in fp32, where z
        is a sample; z and tokens of a family with codes, (B, bits, t, h, w) and int32 (B, t, h, w).
        """
        rng = np.random.default_rng(self.team.same(inputs.checked_seed(seed)))
        x, is_image = inputs.enter_clip(x, self.min_size)
        answer = [Tensor(np.ascontiguousarray(array)) for array in self.latents.answer(self._encode(x), rng)]
        return tuple(tensor[..., 0, :, :] for tensor in answer) if is_image else tuple(answer)

    def encode_stream(
        self, frames: Iterable[Tensor | np.ndarray], seed: int | None = None
    ) -> Iterator[tuple[Tensor, ...]]:
        """Encode a clip that comes in pieces, of any length, holding little more than one tile of it.

        frames: single frames (B, 3, H, W) or pieces (B, 3, T, H, W) of any lengths, as `encode` takes them.
        Yields what `encode` gives, of one latent frame after the other, or window by window where these restart;
        together they are what `encode` gives with tiles and the same seed. Streams do not know of each other. Raises
        InputError for an empty stream or a size that changes.
        """
        rng = np.random.default_rng(self.team.same(inputs.checked_seed(seed)))
        for raw in self.raw_stream(inputs.enter_clip(piece, self.min_size)[0] for piece in frames):
            yield tuple(Tensor(np.ascontiguousarray(array)) for array in self.latents.answer(raw, rng))

    def raw_stream(self, clips: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Raw output (B, C, t, h, w) of a clip that comes in pieces (B, 3, T, H, W), fp32, as `encode_stream`."""
        return stream.encode_stream(self, self.tiles, clips, self.team)

    def decode(
        self, z: Tensor | np.ndarray, num_target_frames: int | None = None, target_num_frames: int | None = None
    ) -> Tensor:
        """Clips or images of latents (unscaled, as `encode` gives them).

        z: (B, z, t, h, w), or (B, z, h, w) for images.
        num_target_frames: keep this many frames, dropping what is surplus; None keeps all that there are.
        target_num_frames: another name for the same, which upstream's users know.
        Returns (B, 3, T, H, W), or (B, 3, H, W) for images, fp32, nominally in [-1, 1], not clipped.
        """
        z, is_image = inputs.enter(z, "z", self.channels_in_latent)
        limits = self.fewest_frames(z.shape[2]), self.frames(z.shape[2])
        frames = inputs.frames_to_keep(limits, num_target_frames, target_num_frames)
        x = Tensor(self._decode(z, 1 if is_image else frames))
        return x[:, :, 0] if is_image else x

    def decode_stream(self, latents: Iterable[Tensor | np.ndarray], frames: int | None = None) -> Iterator[Tensor]:
        """Decode latents that come in pieces, of any number, holding little more than one tile of their frames.

        latents: single latent frames (B, z, h, w) or pieces (B, z, t, h, w), unscaled, as `encode_stream` yields them.
        frames: of the whole clip, if it is known; what is surplus is dropped.
        Yields frames (B, 3, T, H, W), those of one latent frame at a time, or window by window where these restart;
        together they are what `decode` gives with tiles. Let go of them before you ask for more, or they are held while
        a window is computed.
        """
        pieces = (inputs.enter(z, "z", self.channels_in_latent)[0] for z in latents)
        for clip in self.clip_stream(pieces, frames):
            yield Tensor.from_numpy(np.ascontiguousarray(clip))  # no second copy
            del clip

    def clip_stream(
        self, latents: Iterable[np.ndarray], frames: int | Callable[[], int] | None = None
    ) -> Iterator[np.ndarray]:
        """Clips (B, 3, T, H, W), fp32, of latents that come in pieces (B, z, t, h, w), as `decode_stream`.

        frames: may also be what says the number once all latents were read; the surplus is then left to the caller.
        """
        left, ask = (None, frames) if frames is None or callable(frames) else (frames, lambda: frames)
        for piece in stream.decode_stream(self, self.tiles, latents, ask, self.team):
            if left is None:
                yield piece
            elif left > 0:
                left -= (kept := min(left, piece.shape[2]))
                yield piece[:, :, :kept]
            del piece

    def __call__(self, x: Tensor | np.ndarray, seed: int | None = None) -> tuple[Tensor, ...]:
        """Reconstruct: what `encode` gives after the reconstruction, which has the shape of x and is decoded from z."""
        z, *rest = self.encode(x, seed)
        height, width = x.shape[-2:]
        recon = self.decode(z) if x.ndim == 4 else self.decode(z, x.shape[2])
        return (recon[..., :height, :width], z, *rest)

    def scale(self, z: Tensor) -> Tensor:
        """(z - shift) * scaling: latents, (B, z, t, h, w) or (B, z, h, w), as a diffusion model sees them."""
        return self.factors.scale(z, images=z.ndim == 4)

    def unscale(self, z: Tensor) -> Tensor:
        """The inverse of `scale`: latents as `decode` takes them."""
        return self.factors.unscale(z, images=z.ndim == 4)

    # Tiles, for `mg.models.tiling`

    def encode_tile(
        self, clip: np.ndarray, state: Any = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """(B, 3, T, H, W) fp32 -> raw output (B, C, t, h, w), and a state if windows carry one."""
        return self.compute("encoder", clip, reference), state

    def decode_tile(
        self, latents: np.ndarray, frames: int, state: Any = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """(B, z, t, h, w) fp32 -> at least `frames` frames (B, 3, T, H, W), and a state if windows carry one."""
        return self.compute("decoder", latents, reference), state

    def compute(self, name: str, array: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """What the network `name` gives for a batch, fp32; several results are joined over channels.

        With a reference, the statistics of its frames normalise the whole batch; see `mg.models.layers.norm`.
        """
        if reference is not None:
            array = np.concatenate((reference, array))
        outputs = self.run(name, array, shared=reference is not None)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        arrays = [output.asnumpy()[0 if reference is None else 1 :] for output in outputs]
        return self.joined(arrays[0] if len(arrays) == 1 else np.concatenate(arrays, 1))

    def run(self, name: str, array: np.ndarray, *state: Tensor, shared: bool = False) -> Any:
        """What the graph of the network `name` gives for a batch, or for this process's rows of it: see `joined`."""
        if not self.team.rows:
            graph = self._graph(name, shared)
            graph.prepare(self, name, array.shape)
        else:
            with self.team.agreed():
                bands = bands_of(array.shape[3] // self.rows_a_latent(name), self.team.rank, self.team.ranks)
                array = bands.own(array)
                graph = self._graph(name, shared, bands)
                graph.prepare(self, name, array.shape)
        return graph(Tensor(array).astype(self.compute_dtype), *state)

    def joined(self, result: np.ndarray) -> np.ndarray:
        """All rows of a result, (B, C, T, H, W), of which processes have some each, if they do."""
        return self.team.joined(result) if self.team.rows else result

    def rows_a_latent(self, name: str) -> int:
        """Rows of what a network takes for each row of latents."""
        return self.space_compression if name == "encoder" else 1

    @property
    def graphs(self) -> int:
        """How many graphs there are: one for each shape, in each of encoder, decoder and their twins."""
        return sum(len(graph.compile_cache) for graph in self._graphs.values())

    def release_graphs(self) -> None:
        """Free all graphs, some 0.2 GB each; they are compiled again when they are needed."""
        self._graphs.clear()

    def _graph(self, name: str, shared: bool, bands: Bands | None = None) -> nn.Cell:
        """What compiles `network_of` the same."""
        key = f"{name} {getattr(self, name).training} {shared} {bands}"
        if key not in self._graphs:
            self._graphs[key] = Graph(self.network_of(name, shared, bands))
        return self._graphs[key]

    def network_of(self, name: str, shared: bool, bands: Bands | None) -> nn.Cell:
        """The network `name` as it is compiled; with shared statistics, or of a band of rows, its twin."""
        network, build = getattr(self, name), getattr(self, f"build_{name}")
        if shared:
            return twin_with_reference(network, build())
        return network if bands is None else in_bands(network, build(), bands)

    def _encode(self, x: np.ndarray) -> np.ndarray:
        if self.use_tile:
            return np.concatenate(list(self.raw_stream([x])), 2)
        return self.encode_tile(stream.padded(x, self.space_compression, self.filled(x.shape[2])))[0]

    def _decode(self, z: np.ndarray, frames: int) -> np.ndarray:
        if self.use_tile:
            return np.concatenate(list(self.clip_stream([z], frames)), 2)
        return np.ascontiguousarray(self.decode_tile(z, frames)[0][:, :, :frames])

    # Training and files

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, networks compute as in inference, whatever they are trained by; afterwards as before."""
        training = self.encoder.training, self.decoder.training
        self.encoder.set_train(False)
        self.decoder.set_train(False)
        try:
            yield
        finally:
            self.encoder.set_train(training[0])
            self.decoder.set_train(training[1])

    def save(self, path: str | Path, dtype: str = "fp32") -> None:
        """Write weights and configuration to a `.ckpt` or `.safetensors` file.

        dtype: stored type, fp32, fp16 or bf16.
        """
        weights.write(path, weights.named_parameters(self), self.header(), dtype)

    def header(self) -> dict[str, Any]:
        """What a weights file says of the model: enough to build it again."""
        return {"family": self.family, "config": dict(self.config)}

    def begin(self) -> None:
        """What is done in place of `load` where there is no file: the weights stay as they were drawn."""
        logger.info("%s is built without a file: its weights start random", type(self).__name__)

    def load(self, file: weights.TensorFile) -> None:
        """Take the weights of a file, strictly: see `mg.models.weights.assign`."""
        if (omitted := file.header.get("omitted")) is not None:
            raise InputError(
                f"'{file.path}' leaves out {omitted!r:.60}, which is unknown here; take a newer version of mg"
            )
        weights.assign(self, list(weights.named_parameters(self)), file, file.path)

    @classmethod
    def reads(cls, names: Iterable[str]) -> bool:
        """Whether weights of these names, in a file without a header of ours, are this family's."""
        return False

    @classmethod
    def stored_config(cls, file: weights.TensorFile) -> Any | None:
        """The configuration that a file carries, or None. Raises InputError for another family's, and a wrong one."""
        if not file.header:
            return None
        family = file.header.get("family")
        if family != cls.family:
            raise InputError(f"'{file.path}' holds a model of the family {family!r}, not {cls.family!r}; use mg.load")
        try:
            return cls.config_type.from_mapping(file.header.get("config"))
        except InputError as error:
            raise InputError(f"'{file.path}' carries a configuration that cannot be used: {error}") from None

    def _resolved(self, config: Mapping[str, Any] | Any | None, file: weights.TensorFile | None) -> Any:
        """The configuration to build: the caller's, the file's, or the default.

        Raises InputError when the caller's and the file's disagree, or the file has none and the caller gives none.
        """
        if config is not None and not isinstance(config, self.config_type):
            config = self.config_type.from_mapping(config)
        stored = None if file is None else self.stored_config(file)
        if file is not None and stored is None and config is None:
            raise InputError(
                f"'{file.path}' carries no configuration: pass the config= it was trained with, or convert what "
                "another program wrote, with tools/convert_checkpoint.py"
            )
        if config is None or stored is None:
            return config or stored or self.config_type()
        given, kept = config.as_mapping(), stored.as_mapping()
        differing = [f"{key} is {given[key]} but {kept[key]} in the file" for key in given if given[key] != kept[key]]
        if differing:
            raise InputError(
                f"config disagrees with '{file.path}': {'; '.join(differing)}. Leave config out to use the file's"
            )
        return config

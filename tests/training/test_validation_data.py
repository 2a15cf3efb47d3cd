"""What a recipe's validation clips are, whatever sizes and lengths its training clips have."""

from conftest import ROOT

from mg.config import read_recipe
from mg.training.recipe import Recipe
from mg.training.validate import validation_data


def test_limits_of_training_clips_are_none_of_validation(tmp_path):
    (tmp_path / "a.mp4").touch()  # files are listed, not read
    recipe = read_recipe(ROOT / "configs/tae/train/tiny/more.yaml")
    folders = {"video_folder": str(tmp_path), "validation_video_folder": str(tmp_path), "moving_image_ratio": 0.0}
    training = Recipe.of(recipe, folders)
    assert training.data.most_pixels < 32 * 192 * 192
    config = validation_data(training)
    assert (config.sample_n_frames, config.sizes_of(32)) == (32, ((192, 192),))

"""Training proper: from random weights to a folder of safetensors. A repeat goes on from its checkpoint."""

import torch
from rich.console import Console
from rich.progress import Progress
from transformers import Qwen2_5_VLForConditionalGeneration

from experiments.train_vision.settings import TrainVisionSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.picture_model import new_picture_model
from pkv_interp.pictures.words import picture_tokenizer
from pkv_interp.training.picture_schedule import PictureTraining
from pkv_interp.training.picture_trainer import train_pictures


def fit(settings: TrainVisionSettings) -> list[dict[str, float]]:
    """Train, or finish training, and write the model in half precision; or leave one as it is.

    Returns:
        Losses and accuracies of each step; none of a model that was trained elsewhere.

    Raises:
        PkvError: the model is only to be judged, and there is none.
    """
    if not settings.train:
        if not (settings.model_dir / "config.json").is_file():
            raise PkvError(
                f"'model_dir' {settings.model_dir} holds no model", "set train=true, or name its folder"
            )
        return []
    training = PictureTraining(
        tower_steps=settings.tower_steps,
        simple_steps=settings.simple_steps,
        steps=settings.steps,
        again_steps=settings.again_steps,
        tower_batch=settings.tower_batch,
        batch=settings.batch,
        lr=settings.lr,
        seed=settings.seed,
    )
    model = new_picture_model(settings.model.seed)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=training.total)

        def progress(step: int, values: object) -> None:
            del values
            bar.update(task, completed=step + 1)

        history = train_pictures(model, training, settings.work_dir, progress)
    write(model, settings)
    return history


def write(model: Qwen2_5_VLForConditionalGeneration, settings: TrainVisionSettings) -> None:
    """The model and its tokenizer, as transformers saves them; weights in float16."""
    settings.model_dir.mkdir(parents=True, exist_ok=True)
    torch.nn.Module.to(model, torch.float16)
    model.save_pretrained(settings.model_dir)
    picture_tokenizer().save_pretrained(str(settings.model_dir))

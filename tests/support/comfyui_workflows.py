"""Workflows for tests of what runs them."""

from __future__ import annotations

from typing import Any


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """Make a node."""
    return {"class_type": class_type, "inputs": inputs}


def sampling(*, seed: int = 1, steps: int = 4, **more: dict[str, Any]) -> dict[str, Any]:
    """Make the workflow that everybody begins with: a model, a text, a sampler, a picture; `more` nodes come last."""
    return {
        "3": node("KSampler", model=["4", 0], positive=["6", 0], latent_image=["5", 0], steps=steps, seed=seed),
        "4": node("CheckpointLoaderSimple", ckpt_name="v1-5.safetensors"),
        "5": node("EmptyLatentImage", width=64, height=64),
        "6": node("CLIPTextEncode", clip=["4", 1], text="a glass bottle"),
        "8": node("VAEDecode", samples=["3", 0]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="bottles/green"),
        **more,
    }

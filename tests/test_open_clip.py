"""520_judges, 522_bench, 280_caption_tables: the same CLIP through open_clip and through transformers; and ROUGE beside a maintained one."""
import json
import shutil

import numpy as np
import pytest
from semvideo.core import SemvideoError, ensure_torchvision
from semvideo.bundle import bundle_path

ensure_torchvision()
MEAN, STD = (.48145466, .4578275, .40821073), (.26862954, .26130258, .27577711)


def towers(state, theirs, ours, layers):
    "Weights of a transformer's blocks, by open_clip's names."
    import torch
    out, names = {}, dict(layer_norm1='ln_1', layer_norm2='ln_2')
    for i in range(layers):
        a, b = f'{theirs}.encoder.layers.{i}.', f'{ours}transformer.resblocks.{i}.'
        for kind in ('weight', 'bias'):
            parts = [state[f'{a}self_attn.{x}_proj.{kind}'] for x in 'qkv']
            out[f'{b}attn.in_proj_{kind}'] = torch.cat(parts)
            out[f'{b}attn.out_proj.{kind}'] = state[f'{a}self_attn.out_proj.{kind}']
            for x, y in names.items(): out[f'{b}{y}.{kind}'] = state[f'{a}{x}.{kind}']
            out[f'{b}mlp.c_fc.{kind}'] = state[f'{a}mlp.fc1.{kind}']
            out[f'{b}mlp.c_proj.{kind}'] = state[f'{a}mlp.fc2.{kind}']
    return out


def as_open_clip(clip):
    "A CLIPModel's weights by open_clip's names, and the configuration."
    s, v, t = clip.state_dict(), clip.config.vision_config, clip.config.text_config
    V, T = 'vision_model.', 'text_model.'
    out = {
        'visual.class_embedding': s[V + 'embeddings.class_embedding'], 'visual.conv1.weight': s[V + 'embeddings.patch_embedding.weight'],
        'visual.positional_embedding': s[V + 'embeddings.position_embedding.weight'], 'visual.proj': s['visual_projection.weight'].T,
        'token_embedding.weight': s[T + 'embeddings.token_embedding.weight'], 'positional_embedding': s[T + 'embeddings.position_embedding.weight'],
        'text_projection': s['text_projection.weight'].T, 'logit_scale': s['logit_scale']}
    for kind in ('weight', 'bias'):
        out[f'visual.ln_pre.{kind}'] = s[f'{V}pre_layrnorm.{kind}']
        out[f'visual.ln_post.{kind}'] = s[f'{V}post_layernorm.{kind}']
        out[f'ln_final.{kind}'] = s[f'{T}final_layer_norm.{kind}']
    out |= towers(s, 'vision_model', 'visual.', v.num_hidden_layers) | towers(s, 'text_model', '', t.num_hidden_layers)
    vision = dict(image_size=v.image_size, layers=v.num_hidden_layers, width=v.hidden_size, patch_size=v.patch_size,
                  head_width=v.hidden_size//v.num_attention_heads,
                  mlp_ratio=(v.intermediate_size + .5)/v.hidden_size)
    text = dict(context_length=77, vocab_size=t.vocab_size, width=t.hidden_size, heads=t.num_attention_heads, layers=t.num_hidden_layers,
                mlp_ratio=(t.intermediate_size + .5)/t.hidden_size)
    config = dict(embed_dim=clip.config.projection_dim, quick_gelu=True, vision_cfg=vision, text_cfg=text)
    sees = dict(size=v.image_size, mean=MEAN, std=STD, interpolation='bicubic', resize_mode='shortest')
    return {k: x.contiguous() for k, x in out.items()}, dict(model_cfg=config, preprocess_cfg=sees)


@pytest.fixture(scope='module')
def bundles(tmp_path_factory):
    "The tiny bundle's CLIP with the pixels of OpenAI's, as transformers keeps it and as open_clip does."
    from safetensors.torch import save_file
    from transformers import CLIPModel
    root = tmp_path_factory.mktemp('clips')
    for name in ('theirs', 'open'):
        shutil.copytree(bundle_path('tiny')/'tokenizer', root/name/'tokenizer')
        shutil.copy(bundle_path('tiny')/'bundle.json', root/name)
    shutil.copytree(bundle_path('tiny')/'clip', root/'theirs/clip')
    pixels = dict(do_center_crop=True, size=dict(shortest_edge=64), crop_size=64, image_mean=MEAN, image_std=STD, resample=3)
    (root/'theirs/clip/preprocessor_config.json').write_text(json.dumps(pixels))
    (root/'open/clip').mkdir()
    weights, config = as_open_clip(CLIPModel.from_pretrained(bundle_path('tiny')/'clip'))
    save_file(weights, root/'open/clip/open_clip_model.safetensors')
    (root/'open/clip/open_clip_config.json').write_text(json.dumps(config))
    return root


def test_the_judge_sees_the_same(bundles):
    from semvideo.metrics import load_models
    clips = np.random.default_rng(0).integers(0, 255, (3, 4, 80, 100, 3), dtype=np.uint8)
    a, b = (load_models(bundles/name, parts=['clip']) for name in ('theirs', 'open'))
    assert a.nets['clip'][1] == b.nets['clip'][1] and a.nets['clip'][2] != b.nets['clip'][2]
    x, y = a.clip_image(clips), b.clip_image(clips)
    assert x.shape == y.shape == (3, 4, 64) and np.abs(x - y).max() < 1e-5*np.abs(x).max() and x.std() > 0
    assert np.abs(a.vifi(clips) - b.vifi(clips)).max() < 1e-5


def test_the_metrics_of_clip_are_the_same(bundles):
    from semvideo.metrics import clip_pcc, load_models
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 255, (3, 4, 64, 64, 3), dtype=np.uint8)
    recon = (truth//2 + rng.integers(0, 127, truth.shape)).astype(np.uint8)
    values = [clip_pcc(recon, truth, models=load_models(bundles/n, parts=['clip'])) for n in ('theirs', 'open')]
    assert np.abs(values[0] - values[1]).max() < 1e-5


def test_clip_s_is_the_same(bundles):
    from semvideo.caption_tables import clip_text_features, pair_scores
    texts = ['a red car drives to the left on a road', 'the bird flies', 'a house', 'a blue fish swims in the sea']
    a, b = (clip_text_features(bundles/name) for name in ('theirs', 'open'))
    assert np.abs(a(texts) - b(texts)).max() < 1e-5
    x, y = (pair_scores(texts[:2], texts[2:], f)['CLIP-S'] for f in (a, b))
    assert np.abs(x - y).max() < 1e-5 and x.std() > 0


def test_a_damaged_folder_is_one_line(bundles, tmp_path):
    from semvideo.metrics import load_models
    shutil.copytree(bundles/'open', tmp_path/'b')
    weights = tmp_path/'b/clip/open_clip_model.safetensors'
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(SemvideoError, match='Cannot load CLIP'): load_models(tmp_path/'b', parts=['clip'])
    weights.unlink()
    with pytest.raises(SemvideoError, match='No weights there'): load_models(tmp_path/'b', parts=['clip'])


TEXTS = ['A red car drives to the left, slowly.', 'the car is red and it drives left', 'two birds: one flies!', 'A bird', 'the the the cat', 'the cat the']


@pytest.mark.parametrize('a', TEXTS)
def test_rouge_is_the_maintained_one(a):
    scorer = pytest.importorskip('rouge_score.rouge_scorer').RougeScorer(['rouge1', 'rougeL'], use_stemmer=False)
    from semvideo.caption_tables import rouge_1, rouge_l
    for b in TEXTS:
        theirs = scorer.score(b, a)
        assert abs(rouge_1(a, b) - theirs['rouge1'].fmeasure) < 1e-9
        assert abs(rouge_l(a, b) - theirs['rougeL'].fmeasure) < 1e-9

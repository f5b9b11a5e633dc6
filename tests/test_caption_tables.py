"""280_caption_tables: figures of captions against independent references; tables of nothing and of one."""
import numpy as np
import pandas as pd
import pytest
from semvideo.core import CAPTION_LEVELS
from semvideo.captions import (
    bleu, clip_counter, compare_stores, meteor, pair_scores, published_captions, rouge_1, rouge_l, table4,
    table5)
from captions_help import fails, texts


def naive_bleu(a, b, n):
    "BLEU from its definition, for texts long enough to need no smoothing."
    from collections import Counter
    a,b,ps = a.split(), b.split(), []
    for k in range(1, n+1):
        x,y = (Counter(tuple(t[i:i+k]) for i in range(len(t)-k+1)) for t in (a, b))
        if not x: break
        ps.append(sum((x & y).values())/sum(x.values()))
    if not all(ps): return None
    return np.exp(np.mean(np.log(ps)))*min(1, np.exp(1 - len(b)/len(a)))


def test_bleu_from_its_definition():
    checked = 0
    for a,b in zip(texts(300), texts(300, 1)):
        assert bleu(a, b, 1) == pytest.approx(naive_bleu(a, b, 1) or 0, abs=1e-9) or naive_bleu(
            a, b, 1) is None
        if (w := naive_bleu(a, b, 4)) is not None and len(a.split()) >= 4:
            assert bleu(a, b, 4) == pytest.approx(w, abs=1e-9)
            checked += 1
    long = [
        'the red car moves to the left slowly on a grey road near a big house',
        'the red car moves to the right slowly on a grey road near a tall house'
    ]
    assert bleu(*long, 4) == pytest.approx(naive_bleu(*long, 4))
    assert bleu('', 'a', 4) == 0


def test_rouge_against_torchmetrics():
    from semvideo.core import ensure_torchvision
    ensure_torchvision()
    from torchmetrics.functional.text.rouge import rouge_score
    for a,b in zip(texts(60), texts(60, 1)):
        r = rouge_score(a, b, rouge_keys=('rouge1', 'rougeL'))
        assert rouge_1(a, b) == pytest.approx(float(r['rouge1_fmeasure']), abs=1e-6) and rouge_l(
            a, b) == pytest.approx(float(r['rougeL_fmeasure']), abs=1e-6)


def naive_meteor_exact(a, b):
    """METEOR for texts whose words are all different within each text, exact matches only: its formula,
    chunks counted by hand."""
    x,y = a.split(), b.split()
    at = {w: i for i,w in enumerate(y)}
    m = [(i, at[w]) for i,w in enumerate(x) if w in at]
    if not m: return 0.
    chunks = 1 + sum(q != (p[0]+1, p[1]+1) for p,q in zip(m, m[1:]))
    p,r = len(m)/len(x), len(m)/len(y)
    return p*r/(.9*p + .1*r)*(1 - .5*(chunks/len(m))**3)


def test_meteor_from_its_formula():
    rng = np.random.default_rng(0)
    pool = 'car bird tree house road lake moon fish boat ball door lamp'.split()
    for _ in range(50):
        a,b = (' '.join(rng.permutation(pool)[:rng.integers(3, 9)]) for _ in range(2))
        assert meteor(a, b) == pytest.approx(naive_meteor_exact(a, b), abs=1e-9)
    assert meteor('birds moving', 'bird moves') > 0.4      # stems match


def test_tables_have_their_invariances():
    d = pd.DataFrame({
        l: texts(30, i)
        for i, l in enumerate(CAPTION_LEVELS)
    }).assign(clip_id=[f'{i:02d}' for i in range(30)])
    c = clip_counter()
    a,b = table5(d), table5(d.sample(frac=1, random_state=0))
    same = lambda t: t.xs('same clip', level='of')
    pd.testing.assert_frame_equal(same(a), same(b))
    pd.testing.assert_frame_equal(table4(d, c), table4(d.sample(frac=1, random_state=1), c))
    assert (table4(d, c)['median'] <= table4(d, c)['p95']).all()
    x = compare_stores({'a': d, 'b': d.iloc[5:]}, c)
    assert x.clips.tolist() == [25, 25] and x.loc['b', 'motion ROUGE-L to first'] == 1


def test_clip_tokens_are_those_of_open_clip():
    c = clip_counter()
    assert c('a photo of a cat') == 7 and c('') == 2 and c('word '*100) == 102


def test_clip_s_by_hand():
    "CLIP-S of the table against cosines from the model's own outputs, one text at a time."
    import torch
    from transformers import CLIPModel
    from semvideo.bundle import bundle_path, load_part, tokens
    from semvideo.captions import clip_text_features
    model, tok = CLIPModel.from_pretrained(str(bundle_path('tiny')/'clip')).eval(), load_part(
        'tiny', 'tokenizer')
    a,b = texts(6), texts(6, 1)
    with torch.no_grad():
        feats = [[
            model.text_projection(model.text_model(tokens(tok, [t])).pooler_output)[0] for t in ts
        ] for ts in (a, b)]
        want = [float(torch.nn.functional.cosine_similarity(x, y, dim=0)) for x,y in zip(*feats)]
    assert pair_scores(a, b, clip_text_features('tiny'))['CLIP-S'].tolist() == pytest.approx(
        want, abs=1e-5)


def test_tables_of_nothing_and_of_one():
    none = pd.DataFrame(columns=['clip_id', *CAPTION_LEVELS])
    one = pd.DataFrame(
        [dict(clip_id='a', basic='a b', anchor='a car', motion='it moves', holistic='a car moves')])
    c = clip_counter()
    t = table4(none, c)
    assert t['count'].tolist() == [0]*4 and t['mean'].isna().all() and t.over_window.tolist(
    ) == [0]*4
    fails(lambda: table5(none), 'no captions', '0 clips')
    t = table5(one)
    assert t.xs('same clip', level='of').notna().all(axis=None) and t.xs(
        'other clip', level='of').isna().all(axis=None)
    fails(lambda: compare_stores({'x': one, 'nothing': none}), 'empty', 'nothing')
    fails(lambda: compare_stores({}), 'empty')
    x = compare_stores({'x': pd.concat([one, one.assign(clip_id='b')]), 'y': one}, c)
    assert x['left out'].tolist() == [1, 0]


def test_words_of_any_alphabet_and_numbers():
    assert meteor('2 red balls', '3 red balls') < meteor('2 red balls', '2 red balls') and rouge_1(
        'красный мяч', 'Красный мяч') == rouge_l('красный мяч', 'красный мяч') == 1
    assert set(published_captions().pair_or_level) == {
        'BLIP2', 'anchor', 'motion', 'holistic', 'anchor-motion', 'row 2', 'row 3'
    }

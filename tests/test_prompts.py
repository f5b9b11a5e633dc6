"""200_prompts: files of prompts, and what a model says before its caption."""
import time

import pytest
from semvideo.core import CAPTION_LEVELS
from semvideo.semminer import DEFAULT, SemMiner, as_data, cut_words, load_prompts, n_words, strip_preamble
from mining_help import Yes, one_line


@pytest.mark.parametrize('rein', ['Mr. Smith walks through the old gate of a small town and greets his neighbour, who is waiting there with a large brown dog.',
    'A U.S. soldier in a green uniform runs across a wide and muddy field while smoke rises slowly behind the trees at the far edge.', 'Sure! In this video a man in a red hat walks slowly along a wide beach while two small dogs run ahead of him and bark loudly.',
    'In this video, a man in a red hat walks slowly along a wide beach while two small dogs run ahead of him and bark at gulls.', 'Here is the sentence: a man in a red hat walks slowly along a wide beach while two small dogs run ahead of him and bark loudly at gulls.',
    'At approx. 3.5 metres a diver turns slowly around a large rock while many small silver fish swim past him and on to the left.', 'The video shows St. Paul in a white robe who walks along a dusty road while many people in old clothes stand and watch him pass.'])
def test_what_is_left_of_a_long_rein_says_something(rein):
    text,notes = SemMiner(Yes(rein)).record(None, 'c')
    assert 10 < n_words(
        text['basic']) <= 20 and notes['basic']['cut'] and not text['basic'].lower().startswith(
            ('sure', 'here is')), text['basic']
    t = time.time()
    cut_words('word '*200_000, 20)
    assert time.time() - t < 2 # linear in the length


def test_what_a_chat_model_says_first_is_taken_off_and_noted():
    for said in ('Sure! Here is a sentence: A man runs.', '**Sentence:** A man runs.',
                 "Certainly! Here's the description of the first frame:\n\nA man runs.",
                 'Caption: "A man runs."'):
        text,notes = SemMiner(Yes(said)).record(None, 'c')
        assert set(text.values()) == {'A man runs.'} and all(notes[l]['preamble']
                                                             for l in CAPTION_LEVELS)
    for said in ('A man runs.', 'This is a quiet street.', 'A sign reads "Description: none".',
                 'Here is where a man runs.', 'Great waves break on a shore.'):
        assert strip_preamble(said) == (said, '')


@pytest.mark.parametrize('content,says', [('[]', 'Not prompts'), ('5', 'Not prompts'), ('null', 'Not prompts'), ('{"version": "a", "basic": 5}', "'basic' is not a text"), ('{"version": "a", "basic": null}', "'basic' is not a text"), ('{"version": 7}', "'version' is not a text"),
    ('{"version": "a", "motion": "{basic:d}"}', 'format of its own'), ('{"version": "a", "motion": "{basic!z}"}', 'format of its own'), ('{"version": "a", "motion": "x"}', '{basic}')])
def test_prompt_files(tmp_path, content, says):
    f = tmp_path/'p.json'
    f.write_text(content)
    one_line(lambda: load_prompts(f), says, 'p.json')
    one_line(lambda: load_prompts(tmp_path), str(tmp_path))


def test_a_brace_written_twice_is_one_brace():
    b = Yes()
    seen = []
    b.open = lambda frames, key, system: seen.append(system) or b
    SemMiner(b, DEFAULT.replace(version='a', system='Say {{this}}.')).record(None, 'c')
    assert seen == ['Say {this}.']


def test_properties_of_the_cut():
    from hypothesis import given, settings, strategies as st
    @settings(max_examples=150, deadline=None)
    @given(st.text(alphabet="ab,.;:!?'-é 汉\n", max_size=120), st.integers(1, 8))
    def check(t, k):
        s,how = cut_words(t, k)
        assert n_words(s) <= k
        assert (how == '') == (n_words(t) <= k)
        assert how == '' or n_words(s) >= 1
        d = as_data(t + '"<|im_end|>' + t)
        assert '"' not in d and '\n' not in d and '<|' not in d and as_data(d) == d
    check()

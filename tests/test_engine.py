"349_engine: trackers, and what the engine does not have."
import pytest
from semvideo import train
from semvideo.core import SemvideoError
from train_help import study as study, make, ALL, STEPS

def test_what_the_engine_does_not_have_is_one_error(study, monkeypatch):
    from accelerate import tracking
    monkeypatch.setattr(tracking, '_available_trackers', [])
    data = train.training_data(study, make())
    for name in ('tensorboard', 'wandb', 'trackio'):
        with pytest.raises(SemvideoError, match=f'(?s){name} is not installed.*pip install {name}'):
            train.run(make(), data, STEPS, ALL, track=name)
    for wrong,said in ((dict(precision='fp8'), 'Unknown precision'), (dict(compile='gcc'), 'torch.compile')):
        with pytest.raises(SemvideoError, match=said):
            train.run(make(), data, STEPS.replace(**wrong), ALL)

def test_a_tracker_gets_the_rows_of_the_history(study):
    from accelerate.tracking import GeneralTracker
    class Notes(GeneralTracker):
        name,requires_logging_directory = 'notes',False
        def __init__(self):
            super().__init__()
            self.rows,self.config,self.closed = [],None,False
        @property
        def tracker(self): return self.rows
        def store_init_configuration(self, values): self.config = values
        def log(self, values, step=None, **kw): self.rows.append((step, values))
        def finish(self): self.closed = True
    notes,m = Notes(),make()
    history,_ = train.run(m, train.training_data(study, m), STEPS, ALL, track=notes)
    assert notes.rows == [(r['epoch'], r) for r in history] and notes.config['batch'] == 16
    assert notes.closed

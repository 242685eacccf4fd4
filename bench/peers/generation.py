# Hugging Face's transformers writing 64 tokens with models of real sizes and random weights, one at a time on one thread. usage: generation.py
# It counts the process's time on CPUs, as ours does, from the fourth token on.
import os, sys, time
sys.path = [p for p in sys.path if os.path.abspath(p) != os.path.dirname(os.path.abspath(__file__))]
import torch, transformers

torch.set_num_threads(1)
WRITTEN, WARM = 64, 4


class Clock(transformers.StoppingCriteria):
    """Reads the clock after each token."""

    def __init__(self):
        self.times = []

    def __call__(self, ids, scores, **_):
        self.times.append(time.process_time())
        return torch.zeros(len(ids), dtype=torch.bool)


def speed(model, prompt, **options):
    best = 0.0
    for _ in range(2):
        clock = Clock()
        with torch.inference_mode():
            model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=WRITTEN, min_new_tokens=WRITTEN, do_sample=False, pad_token_id=0,
                           stopping_criteria=transformers.StoppingCriteriaList([clock]), **options)
        best = max(best, (WRITTEN - WARM) / (clock.times[-1] - clock.times[WARM - 1]))
    return best


prompt = torch.tensor([[1 + i * 997 % 30000 for i in range(32)]])
print(f"gpt2 {speed(transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval(), prompt[:, :16]):.2f} tokens/cpu-s", flush=True)
print(f"t5-small {speed(transformers.T5ForConditionalGeneration(transformers.T5Config(num_layers=6)).eval(), prompt, decoder_start_token_id=0):.2f} tokens/cpu-s", flush=True)

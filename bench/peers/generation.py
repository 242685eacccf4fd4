# Hugging Face's transformers writing 64 tokens with models of real sizes and random weights, one at a time on one thread. usage: generation.py
# It counts the process's time on CPUs, as ours does, from the fourth token on.
import os, sys, time
sys.path = [p for p in sys.path if os.path.abspath(p) != os.path.dirname(os.path.abspath(__file__))]
import torch, transformers

torch.set_num_threads(1)
WRITTEN, WARM = 64, 4


class Clock(transformers.StoppingCriteria):
    """Reads the clock after each step, which is one token or several."""

    def __init__(self):
        self.steps = []

    def __call__(self, ids, scores, **_):
        self.steps.append((time.process_time(), ids.shape[1]))
        return torch.zeros(len(ids), dtype=torch.bool)


def speed(model, prompt, begin, **options):
    best = 0.0
    for _ in range(2):
        clock = Clock()
        with torch.inference_mode():
            model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=WRITTEN, min_new_tokens=WRITTEN, do_sample=False, pad_token_id=0,
                           stopping_criteria=transformers.StoppingCriteriaList([clock]), **options)
        first = next(s for s in clock.steps if s[1] >= begin + WARM)
        best = max(best, (clock.steps[-1][1] - first[1]) / (clock.steps[-1][0] - first[0]))
    return best


prompt = torch.tensor([[1 + i * 997 % 30000 for i in range(32)]])
for way, options in (("", {}), (" by prompt lookup", {"prompt_lookup_num_tokens": 15})):
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    print(f"gpt2{way} {speed(gpt2, prompt[:, :16], 16, **options):.2f} tokens/cpu-s", flush=True)
    t5 = transformers.T5ForConditionalGeneration(transformers.T5Config(num_layers=6)).eval()
    print(f"t5-small{way} {speed(t5, prompt, 1, decoder_start_token_id=0, **options):.2f} tokens/cpu-s", flush=True)

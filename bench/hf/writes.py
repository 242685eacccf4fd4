"""A LLaMA of 100 million parameters and random weights, in bfloat16 and shards with a tokenizer of its own: Ringmaster writes the tokens that
transformers writes, greedily; trains adapters for some steps, and what it exports, merged, loads, writes other texts, and again the same as transformers.

usage: writes.py RINGMASTER TEXT-FILE     (RINGMASTER: the program, with the others of bin/ beside it; the text trains the tokenizer, and the adapters)
"""
import json
import os
import subprocess
import sys
import tempfile

import tokenizers
import torch
import transformers as tr

torch.set_num_threads(1)
PROMPTS = ["ROMEO:", "To be, or not to be, that is", "Once upon a time there was a king who", "a"]
WRITTEN = 60


def make(folder, text):
    """Saves the model in bfloat16, whose values float32 holds too."""
    t = tokenizers.Tokenizer(tokenizers.models.BPE())
    t.pre_tokenizer, t.decoder = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False), tokenizers.decoders.ByteLevel()
    t.train([text], tokenizers.trainers.BpeTrainer(vocab_size=16000, special_tokens=["<|endoftext|>"], initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    torch.manual_seed(7)
    model = tr.LlamaForCausalLM(tr.LlamaConfig(vocab_size=16000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=4, max_position_embeddings=512, bos_token_id=0, eos_token_id=0))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_((p + 0.1 * torch.randn_like(p) if p.dim() == 1 else 2 * p).bfloat16())
    model.bfloat16().save_pretrained(folder, max_shard_size="50MB")
    tr.PreTrainedTokenizerFast(tokenizer_object=t, eos_token="<|endoftext|>", bos_token="<|endoftext|>").save_pretrained(folder)
    return t.get_vocab_size()


def theirs(folder, ids):
    model = tr.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = torch.tensor([ids])
    with torch.no_grad():
        out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=WRITTEN, do_sample=False, pad_token_id=0)
    return out[0, len(ids):].tolist()


def compare(ringmaster, folder):
    """Returns what both have written for each prompt."""
    command = [ringmaster, "generate", folder, "--max-tokens", str(WRITTEN), "--json"]
    for prompt in PROMPTS:
        command += ["--prompt", prompt]
    lines = [json.loads(line) for line in subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()]
    assert len(lines) == len(PROMPTS), lines
    same, distinct = 0, set()
    for line in lines:
        ids = tr.AutoTokenizer.from_pretrained(folder)(line["prompt"])["input_ids"]
        assert ids == line["prompt_tokens"], (ids, line)
        want = theirs(folder, ids)
        want = want[:want.index(0)] if 0 in want else want
        assert line["tokens"] == want, (line["tokens"], want)
        same, distinct = same + len(want), distinct | set(want)
    print(f"{os.path.basename(folder)}: {len(lines)} texts, all {same} tokens ({len(distinct)} different ones) are transformers'", flush=True)
    return [line["tokens"] for line in lines]


def main(ringmaster, text):
    with tempfile.TemporaryDirectory() as work:
        folder, run, out = os.path.join(work, "random"), os.path.join(work, "run"), os.path.join(work, "adapted")
        print("tokens:", make(folder, text), "shards:", len([n for n in os.listdir(folder) if n.endswith(".safetensors")]), flush=True)
        before = compare(ringmaster, folder)
        part = os.path.join(work, "part.txt")
        with open(text) as f, open(part, "w") as to:
            to.write(f.read(8000))
        job = os.path.join(work, "job.yaml")
        with open(job, "w") as f:
            f.write(f"""seats: 2
model: {{kind: llama, init: {folder}, lora: {{rank: 8, alpha: 16, targets: ["*.q_proj", "*.v_proj", "*.down_proj"]}}}}
data: {{kind: text, dir: {part}, tokenizer: {folder}, context: 64}}
train: {{steps: 12, batch_per_seat: 1, optimizer: {{kind: adamw, lr: 0.003}}}}
""")
        print(subprocess.run([ringmaster, "launch", job, "--dir", run, "--workers", "1", "--progress", "plain"], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout[-1500:], flush=True)
        subprocess.run([ringmaster, "export", run, "--format", "hf", "--merge", "--out", out], check=True)
        after = compare(ringmaster, out)
        assert all(a != b for a, b in zip(after, before)), "the adapters changed nothing that is written"


main(*sys.argv[1:])

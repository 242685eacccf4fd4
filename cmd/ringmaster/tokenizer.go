package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/regularfile"
	"ringmaster/internal/tokenizer"
)

func tokenizerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tokenizer",
		Short: "Turn text into token ids and back, and train vocabularies",
		Args:  cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.AddCommand(trainTokenizerCommand(), encodeCommand(), decodeCommand())
	return cmd
}

// formats is what --tokenizer takes.
const tokenizerFormats = "tokenizer.json, vocab.json (with merges.txt), vocab.txt or SentencePiece .model, or the folder of one"

// maxTyped is the most bytes of one line that is encoded or decoded.
const maxTyped = 64 << 20

// feed is where encode and decode take their lines from: arguments, a file, or standard input.
type feed struct {
	path string // of the tokenizer
	file string
	json bool
}

func (f *feed) bind(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&f.path, "tokenizer", "", "`path` of a "+tokenizerFormats)
	cmd.Flags().StringVar(&f.file, "input", "", "take "+what+" from the lines of this `file` (default: standard input, where no argument is given)")
	cmd.Flags().BoolVar(&f.json, "json", false, "write JSON, an object a line")
}

// open reads the tokenizer.
func (f *feed) open(args []string) (*tokenizer.Tokenizer, error) {
	if f.path == "" {
		return nil, wrong(errors.New("--tokenizer is missing: name a " + tokenizerFormats))
	}
	if f.file != "" && len(args) > 0 {
		return nil, wrong(errors.New("arguments and --input do not go together; give one of them"))
	}
	t, err := tokenizer.Open(f.path)
	return t, wrong(err)
}

// each calls do with every line, and says in an error which one was wrong.
func (f *feed) each(args []string, stdin io.Reader, do func(line string) error) error {
	if len(args) > 0 {
		for i, arg := range args {
			if err := do(arg); err != nil {
				return wrong(fmt.Errorf("argument %d: %w", i+1, err))
			}
		}
		return nil
	}
	name, in := "standard input", stdin
	if f.file != "" && f.file != "-" {
		file, err := regularfile.Open(f.file)
		if err != nil {
			return wrong(err)
		}
		defer file.Close()
		name, in = f.file, file
	}
	return wrong(eachLine(name, in, func(line string) error { return do(strings.TrimSuffix(line, "\n")) }))
}

// eachLine calls do with every line of a text, with its end.
func eachLine(name string, in io.Reader, do func(line string) error) error {
	r := bufio.NewReaderSize(in, 1<<16)
	var line []byte
	for number := 1; ; {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxTyped:
			return fmt.Errorf("%s:%d: a line of more than %d bytes", name, number, maxTyped)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(line) > 0 {
			if err := do(string(line)); err != nil {
				return fmt.Errorf("%s:%d: %w", name, number, err)
			}
		}
		if err != nil {
			return nil
		}
		line = line[:0]
		number++
	}
}

// encoded is what encode writes as JSON.
type encoded struct {
	IDs     []int32  `json:"ids"`
	Tokens  []string `json:"tokens"`
	Offsets [][2]int `json:"offsets"`
}

func encodeCommand() *cobra.Command {
	var f feed
	var plain bool
	cmd := &cobra.Command{
		Use:   "encode --tokenizer FILE|DIR [TEXT...]",
		Short: "Turn lines of text into token ids",
		Long: "Turn lines of text into token ids: a JSON list for each line. With --json also the tokens, and where each begins and ends\n" +
			"in its line, in characters. Special tokens are added, and lines cut and padded, as the tokenizer's file says.",
		Example: "  ringmaster tokenizer encode --tokenizer gpt2/tokenizer.json \"Hello world\"\n" +
			"  ringmaster tokenizer encode --tokenizer spiece.model --input text.txt > ids.jsonl",
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := f.open(args)
			if err != nil {
				return err
			}
			out := bufio.NewWriter(os.Stdout)
			err = encodeLines(t, &f, args, os.Stdin, out, plain)
			return errors.Join(err, failed(out.Flush()))
		},
	}
	f.bind(cmd, "text")
	cmd.Flags().BoolVar(&plain, "no-special", false, "leave out the special tokens that the tokenizer's template adds")
	return cmd
}

func encodeLines(t *tokenizer.Tokenizer, f *feed, args []string, in io.Reader, out io.Writer, plain bool) error {
	var line []byte
	return f.each(args, in, func(text string) error {
		e, err := t.Encode(text, tokenizer.Options{Special: !plain, Details: f.json})
		if err != nil {
			return err
		}
		if f.json {
			return json.NewEncoder(out).Encode(encoded{append([]int32{}, e.IDs...), e.Tokens, e.Offsets})
		}
		line = append(line[:0], '[')
		for i, id := range e.IDs {
			if i > 0 {
				line = append(line, ", "...)
			}
			line = strconv.AppendInt(line, int64(id), 10)
		}
		_, err = out.Write(append(line, "]\n"...))
		return err
	})
}

func decodeCommand() *cobra.Command {
	var f feed
	var keep bool
	cmd := &cobra.Command{
		Use:   "decode --tokenizer FILE|DIR [IDS...]",
		Short: "Turn lists of token ids into text",
		Long: "Turn lists of token ids into text, a line for each list. Ids are JSON lists, as encode writes them, or numbers with blanks\n" +
			"or commas between them. A text with line ends in it takes several lines; with --json it is one.",
		Example: "  ringmaster tokenizer decode --tokenizer gpt2/tokenizer.json \"[15496, 995]\"\n" +
			"  ringmaster tokenizer decode --tokenizer spiece.model --input ids.jsonl",
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := f.open(args)
			if err != nil {
				return err
			}
			out := bufio.NewWriter(os.Stdout)
			err = decodeLines(t, &f, args, os.Stdin, out, keep)
			return errors.Join(err, failed(out.Flush()))
		},
	}
	f.bind(cmd, "lists of ids")
	cmd.Flags().BoolVar(&keep, "keep-special", false, "write special tokens, too")
	return cmd
}

func decodeLines(t *tokenizer.Tokenizer, f *feed, args []string, in io.Reader, out io.Writer, keep bool) error {
	var ids []int32
	return f.each(args, in, func(line string) (err error) {
		if ids, err = idsOf(ids[:0], line); err != nil {
			return err
		}
		text, err := t.Decode(ids, !keep)
		if err != nil {
			return err
		}
		if f.json {
			return json.NewEncoder(out).Encode(map[string]string{"text": text})
		}
		_, err = fmt.Fprintln(out, text)
		return err
	})
}

// idsOf appends the ids of a line: a JSON list, an object that encode wrote, or numbers.
func idsOf(ids []int32, line string) ([]int32, error) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "{") {
		var e encoded
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("not an object with ids: %w", err)
		}
		return append(ids, e.IDs...), nil
	}
	if strings.HasPrefix(line, "[") != strings.HasSuffix(line, "]") {
		return nil, fmt.Errorf("a list of ids has both its brackets or none: %s", printable.Typed(line))
	}
	line = strings.TrimSuffix(strings.TrimPrefix(line, "["), "]")
	for _, field := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' }) {
		id, err := strconv.ParseInt(field, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%s is no token id", printable.Typed(field))
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

// maxSentinels bounds --sentinels.
const maxSentinels = 10000

func trainTokenizerCommand() *cobra.Command {
	o := tokenizer.Training{}
	var target string
	var sentinels int
	cmd := &cobra.Command{
		Use:   "train --kind bpe|unigram --vocab N --out FILE.json [TEXT-FILE...]",
		Short: "Learn a vocabulary from text",
		Long: "Learn a vocabulary from the lines of text files, or of standard input, and write it as a tokenizer.json, which the\n" +
			"tokenizers library reads, too. The same text gives the same file, byte for byte, in whatever order it comes and on any\n" +
			"number of threads. Both kinds can write every text: bpe is byte-level, with GPT-2's rule of what a word is and line ends\n" +
			"as tokens; unigram writes rare characters as bytes, and reads lines without their ends.",
		Example: "  ringmaster tokenizer train --kind bpe --vocab 8000 --out tokenizer.json --special '<|endoftext|>' books/*.txt\n" +
			"  zcat train.en.gz train.de.gz | ringmaster tokenizer train --kind unigram --vocab 16000 --normalize nfkc --out t5.json --special '<pad>' --special '</s>'",
		RunE: func(_ *cobra.Command, args []string) error {
			if sentinels < 0 || sentinels > maxSentinels {
				return wrong(fmt.Errorf("--sentinels must be from 0 to %d, not %d", maxSentinels, sentinels))
			}
			for k := range sentinels {
				o.Special = append(o.Special, fmt.Sprintf("<extra_id_%d>", k))
			}
			if target == "" {
				return wrong(errors.New("--out is missing: name the tokenizer.json to write"))
			}
			if !strings.HasSuffix(target, ".json") {
				return wrong(fmt.Errorf("--out %s: a tokenizer is written as JSON: give the file a name with .json", target))
			}
			if err := checkTarget("--out", target); err != nil {
				return wrong(err)
			}
			return trainTokenizer(o, target, args, os.Stdin, os.Stdout)
		},
	}
	cmd.Flags().StringVar(&o.Kind, "kind", "bpe", "`model`: bpe or unigram")
	cmd.Flags().IntVar(&o.Size, "vocab", 8000, "size of the vocabulary, with special tokens and the 256 bytes")
	cmd.Flags().StringVar(&target, "out", "", "`file` to write")
	cmd.Flags().StringArrayVar(&o.Special, "special", nil, "special `token`; repeatable. They have the first ids, in this order")
	cmd.Flags().StringVar(&o.Template, "template", "", "what is put around texts: bert ([CLS] and [SEP]) or t5 (</s>), which must be special tokens (default nothing)")
	cmd.Flags().StringVar(&o.Normalize, "normalize", "none", "what is done to text first: none, nfc, nfkc or lowercase")
	cmd.Flags().IntVar(&sentinels, "sentinels", 0, "`number` of special tokens <extra_id_0>, <extra_id_1> ... behind the others, which data.corrupt hides spans by; T5 has 100")
	cmd.Flags().BoolVar(&o.Apart, "split-punctuation", false, "unigram: punctuation characters are tokens of their own, so that no token is a word with a full stop")
	cmd.Flags().IntVar(&o.MinCount, "min-count", 2, "bpe: pairs that are rarer are not merged")
	cmd.Flags().IntVar(&o.Threads, "threads", runtime.GOMAXPROCS(0), "threads to use")
	return cmd
}

func trainTokenizer(o tokenizer.Training, target string, files []string, stdin io.Reader, out io.Writer) error {
	if o.Threads < 1 || o.MinCount < 1 {
		return wrong(errors.New("--threads and --min-count must be at least 1"))
	}
	trainer, err := tokenizer.NewTrainer(o)
	if err != nil {
		return wrong(err)
	}
	defer trainer.Close()
	read := 0
	add := func(line string) error {
		read++
		if o.Kind == "unigram" {
			line = strings.TrimRight(line, "\r\n")
		}
		return trainer.Add(line)
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		if err := trainOn(name, stdin, add); err != nil {
			return wrong(err)
		}
	}
	file, tokens, err := trainer.Finish()
	if err != nil {
		return wrong(err)
	}
	err = writeWhole(target, func(w io.Writer) error {
		_, err := w.Write(file)
		return err
	})
	if err != nil {
		return failed(err)
	}
	fewer := ""
	if tokens < o.Size {
		fewer = fmt.Sprintf(" (%d were asked for; the text has no more that are worth one)", o.Size)
	}
	_, err = fmt.Fprintf(out, "%s: %s, %s, from %s\n", target, o.Kind, plural.Of(tokens, "token")+fewer, plural.Of(read, "line"))
	return failed(err)
}

// trainOn adds the lines of a file, or of standard input.
func trainOn(name string, stdin io.Reader, add func(line string) error) error {
	if name == "-" {
		return eachLine("standard input", stdin, add)
	}
	f, err := regularfile.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return eachLine(name, f, add)
}

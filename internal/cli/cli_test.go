package cli

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// program has a command of each sort: cook DISH with flags of all types, list [DIR], and group with a command of its own.
func program() *cobra.Command {
	run := func(cmd *cobra.Command, _ []string) error { return NotEmpty(cmd, "prompt") }
	root := &cobra.Command{Use: "kitchen", Args: Takes(), RunE: run, SilenceErrors: true, SilenceUsage: true}
	cook := &cobra.Command{Use: "cook DISH --pot POT", Args: Takes("DISH"), RunE: run}
	flags := cook.Flags()
	flags.Int("people", 1, "")
	flags.Uint64("seed", 1, "")
	flags.Float64("salt", 1, "")
	flags.Bool("json", false, "")
	flags.Duration("time", time.Second, "")
	flags.IntSlice("sizes", nil, "")
	flags.DurationSlice("pauses", nil, "")
	flags.StringSlice("spices", nil, "")
	flags.String("pot", "", "")
	flags.String("pan", "", "")
	flags.String("prompt", "", "")
	Either(cook, "pot", "pan")
	Either(cook, "people", "seed")
	group := &cobra.Command{Use: "group", Args: Takes(), RunE: run}
	group.AddCommand(&cobra.Command{Use: "list [DIR]", Args: Takes("[DIR]"), RunE: run})
	root.AddCommand(cook, group)
	Explain(root)
	return root
}

func TestWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string // "": nothing is wrong
	}{
		{[]string{"cook", "soup", "--pot", "big", "--people=3", "--salt", "1e-3", "--time", "2s", "--sizes", "1,2"}, ""},
		{[]string{"cook", "soup", "--prompt", ""}, ""},
		{[]string{"group", "list"}, ""},
		{[]string{"group", "list", "here"}, ""},
		{[]string{"help"}, ""},
		{[]string{"help", "group", "list"}, ""},
		{[]string{"help", "coo"}, "there is no kitchen coo; did you mean cook?"},
		{[]string{"help", "cook", "soup"}, "there is no kitchen cook soup; see kitchen cook --help"},
		{[]string{"help", "group", "sing"}, "there is no kitchen group sing; there are list"},
		{[]string{"cook"}, "DISH is missing: kitchen cook DISH --pot POT"},
		{[]string{"cook", ""}, "DISH is empty: kitchen cook DISH --pot POT"},
		{[]string{"cook", "soup", "rice"}, "unexpected argument rice: kitchen cook takes DISH alone beside its flags"},
		{[]string{"group", "list", ""}, "DIR is empty: kitchen group list [DIR]"},
		{[]string{"coo"}, "there is no kitchen coo; did you mean cook?"},
		{[]string{"group", "sing\n"}, `there is no kitchen group "sing\n"; there are list`},
		{[]string{"cook", "soup", "--people", "two"}, "--people must be a whole number, not two"},
		{[]string{"cook", "soup", "--people", "99999999999999999999"}, "--people must be a whole number, and 99999999999999999999 is out of range"},
		{[]string{"cook", "soup", "--seed", "-1"}, "--seed must be a whole number from 0 to 18446744073709551615, not -1"},
		{[]string{"cook", "soup", "--salt", "1e400"}, "--salt must be a number like 0.5, and 1e400 is out of range"},
		{[]string{"cook", "soup", "--salt", ""}, `--salt must be a number like 0.5, not ""`},
		{[]string{"cook", "soup", "--json=perhaps"}, "--json must be true or false, not perhaps"},
		{[]string{"cook", "soup", "--time", "2"}, "--time must be a time like 300ms or 2s, not 2"},
		{[]string{"cook", "soup", "--sizes", "1,x"}, "--sizes must be whole numbers separated by commas, not 1,x"},
		{[]string{"cook", "soup", "--pauses", "1s,x"}, "--pauses must be times like 300ms or 2s, separated by commas, not 1s,x"},
		{[]string{"cook", "soup", "--spices", `"salt`}, `--spices must be one or more, separated by commas, not "\"salt"`},
		{[]string{"cook", "soup", "--pot"}, "--pot needs a value: text"},
		{[]string{"cook", "soup", "--seed"}, "--seed needs a value: a whole number from 0 to 18446744073709551615"},
		{[]string{"cook", "soup", "--seeds", "3"}, "unknown flag: --seeds; did you mean --seed?"},
		{[]string{"cook", "soup", "--temperature", "3"}, "unknown flag: --temperature; see kitchen cook --help"},
		{[]string{"cook", "soup", "-x"}, "unknown shorthand flag: 'x' in -x; see kitchen cook --help, or write an argument that begins with - last, after --"},
		{[]string{"cook", "--pot", "big", "--", "-5"}, ""},
		{[]string{"cook", "soup", "--=x"}, "bad flag syntax: --=x; see kitchen cook --help"},
		{[]string{"cook", "soup", "--pot", "a", "--pan", "b"}, "--pot and --pan do not go together; give one of them"},
		{[]string{"cook", "soup", "--people", "1", "--seed", "2"}, "--people and --seed do not go together; give one of them"},
		{[]string{"cook", "soup", "--spices", ""}, "--spices is empty; give it a value, or leave it out"},
		{[]string{"cook", "soup", "--pot", ""}, "--pot is empty; give it a value, or leave it out"},
	} {
		cmd := program()
		cmd.SetArgs(test.args)
		cmd.SetOut(io.Discard)
		got := ""
		if err := cmd.Execute(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q:\n%s\nwant\n%s", test.args, got, test.want)
		}
	}
}

func TestVersioned(t *testing.T) {
	for _, flag := range []string{"--version", "-v"} {
		root := program()
		Versioned(root)
		var out strings.Builder
		root.SetOut(&out)
		root.SetArgs([]string{flag})
		if err := root.Execute(); err != nil || out.String() != Version("kitchen")+"\n" || !strings.HasPrefix(out.String(), "kitchen ") {
			t.Errorf("%s: %v, %q", flag, err, out.String())
		}
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ringmaster/internal/cli"
	daemons "ringmaster/internal/daemon/program"
)

func manCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man --dir DIR",
		Short: "Write the manual pages, one for each command",
		Long: `Writes the manual pages of ringmaster and its commands as DIR/ringmaster*.1, and those of the daemons as DIR/ringmaster-coordinator.8 and
DIR/ringmaster-worker.8, from what --help shows. Pages that are there already are replaced.`,
		Example: `  ringmaster man --dir man && man -l man/ringmaster-launch.1
  ringmaster man --dir ~/.local/share/man/man1`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return wrong(errors.New("--dir is missing: name the folder for the pages"))
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return wrong(fmt.Errorf("--dir: %w", err))
			}
			if err := writeManual(cmd.Root(), dir); err != nil {
				return failed(err)
			}
			return failed(writeDaemons(dir))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` for the pages; it is made if it does not exist")
	return cmd
}

// writeDaemons writes the daemons' pages. They are named as packages name the programs: coordinator alone could be anybody's.
func writeDaemons(dir string) error {
	for _, d := range []daemons.Daemon{daemons.Coordinator, daemons.Worker} {
		name := "ringmaster-" + d.Name
		if err := os.WriteFile(filepath.Join(dir, name+".8"), manual(d.Manual(), name, 8), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func writeManual(cmd *cobra.Command, dir string) error {
	if !cmd.IsAvailableCommand() && cmd.HasParent() && cmd.Name() != "help" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, pageName(cmd)+".1"), manual(cmd, pageName(cmd), 1), 0o644); err != nil {
		return err
	}
	for _, sub := range cmd.Commands() {
		if err := writeManual(sub, dir); err != nil {
			return err
		}
	}
	return nil
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manual is a command's page of a section in roff, with the macros of man(7).
func manual(cmd *cobra.Command, name string, section int) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, ".TH \"%s\" \"%d\" \"\" \"ringmaster\" \"Ringmaster\"\n", roff(strings.ToUpper(name)), section)
	fmt.Fprintf(&out, ".SH NAME\n%s \\- %s\n", roff(name), roff(cmd.Short))
	fmt.Fprintf(&out, ".SH SYNOPSIS\n.B %s\n", roff(cmd.UseLine()))
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	out.WriteString(".SH DESCRIPTION\n")
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			out.WriteString(".PP\n")
		}
		for line := range strings.Lines(paragraph) {
			out.WriteString(roffLine(strings.TrimSpace(line)))
		}
	}
	options(&out, "OPTIONS", cmd.NonInheritedFlags())
	options(&out, "OPTIONS OF ALL COMMANDS", cmd.InheritedFlags())
	if cmd.Example != "" {
		out.WriteString(".SH EXAMPLES\n.nf\n")
		for line := range strings.Lines(cmd.Example) {
			out.WriteString(roffLine(strings.TrimSpace(line)))
		}
		out.WriteString(".fi\n")
	}
	var others []string
	if cmd.HasParent() {
		others = append(others, pageName(cmd.Parent()))
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			others = append(others, pageName(sub))
		}
	}
	if len(others) > 0 {
		out.WriteString(".SH SEE ALSO\n")
		for i, other := range others {
			comma := ","
			if i == len(others)-1 {
				comma = ""
			}
			fmt.Fprintf(&out, ".BR %s (1)%s\n", roff(other), comma)
		}
	}
	return out.Bytes()
}

func options(out *bytes.Buffer, heading string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(out, ".SH %s\n", heading)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if kind != "" {
			kind = " " + kind
		}
		if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "[]" && f.Name != "certs" && !strings.Contains(usage, "default") {
			usage += " (default " + d + ")"
		}
		fmt.Fprintf(out, ".TP\n\\fB%s\\fR\\fI%s\\fR\n%s", roff(name), roff(kind), roffLine(usage))
	})
}

// roffLine is a line of text; one that begins like a macro is made plain.
func roffLine(text string) string {
	text = roff(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text + "\n"
}

// roff makes text plain for roff.
func roff(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "\"", `\(dq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "\n", " ").Replace(text)
}

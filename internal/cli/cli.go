// Package cli says what is wrong with a command line: in one sentence, in a person's words, with what to do. The
// libraries below it speak of arg(s), groups and strconv.
package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ringmaster/internal/config"
	"ringmaster/internal/printable"
)

// Explain makes the command and all below it explain flags that cannot be read, and help commands that there are not.
func Explain(root *cobra.Command) {
	root.SetFlagErrorFunc(explainFlag)
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show how a command is used",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			switch {
			case err != nil:
				return err
			case len(rest) > 0:
				return unknownCommand(found, rest[0])
			}
			return found.Help()
		},
	})
}

func explainFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w%s", err, instead(cmd, unknown.GetSpecifiedName(), unknown.GetSpecifiedShortnames() != ""))
	case errors.As(err, &missing):
		return fmt.Errorf("--%s needs a value: %s", missing.GetFlag().Name, wanted(missing.GetFlag().Value.Type()))
	case errors.As(err, &invalid):
		flag := invalid.GetFlag()
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("--%s must be %s, and %s is out of range", flag.Name, wanted(flag.Value.Type()), printable.Typed(invalid.GetValue()))
		}
		return fmt.Errorf("--%s must be %s, not %s", flag.Name, wanted(flag.Value.Type()), printable.Typed(invalid.GetValue()))
	case errors.Is(err, pflag.ErrHelp):
		return err
	}
	return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
}

// instead names the flag that was probably meant, or where all of them stand.
func instead(cmd *cobra.Command, name string, short bool) string {
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if meant := config.Closest(name, known); meant != "" {
		return "; did you mean --" + meant + "?"
	}
	see := "; see " + cmd.CommandPath() + " --help"
	if short { // perhaps a negative number, or a folder with such a name
		return see + ", or write an argument that begins with - last, after --"
	}
	return see
}

// wanted says what a flag of a type takes. The types are those that the programs have.
func wanted(flagType string) string {
	switch flagType {
	case "int":
		return "a whole number"
	case "uint64":
		return "a whole number from 0 to 18446744073709551615"
	case "float64":
		return "a number like 0.5"
	case "bool":
		return "true or false"
	case "duration":
		return "a time like 300ms or 2s"
	case "intSlice":
		return "whole numbers separated by commas"
	case "stringSlice":
		return "one or more, separated by commas"
	case "durationSlice":
		return "times like 300ms or 2s, separated by commas"
	}
	return "text"
}

// Takes checks the arguments of a command, which are called by these names. Names in brackets may be left out.
func Takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if cmd.HasSubCommands() && len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		if len(args) > len(names) {
			takes := "no arguments"
			if len(names) > 0 {
				takes = strings.Join(names, " ") + " alone"
			}
			return fmt.Errorf("unexpected argument %s: %s takes %s beside its flags", printable.Typed(args[len(names)]), cmd.CommandPath(), takes)
		}
		for i, name := range names {
			switch {
			case i < len(args) && args[i] == "":
				return fmt.Errorf("%s is empty: %s", strings.Trim(name, "[]"), usage(cmd))
			case i >= len(args) && !strings.HasPrefix(name, "["):
				return fmt.Errorf("%s is missing: %s", name, usage(cmd))
			}
		}
		return nil
	}
}

// usage is how a command is written.
func usage(cmd *cobra.Command) string {
	path := cmd.CommandPath()
	return path[:len(path)-len(cmd.Name())] + cmd.Use
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var known []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	meant := "there are " + strings.Join(known, ", ")
	if closest := config.Closest(name, known); closest != "" {
		meant = "did you mean " + closest + "?"
	} else if len(known) == 0 {
		meant = "see " + cmd.CommandPath() + " --help"
	}
	return fmt.Errorf("there is no %s %s; %s", cmd.CommandPath(), printable.Typed(name), meant)
}

// Either lets a command take one of two flags and not both.
func Either(cmd *cobra.Command, one, other string) {
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed(one) && cmd.Flags().Changed(other) {
			return fmt.Errorf("--%s and --%s do not go together; give one of them", one, other)
		}
		if before == nil {
			return nil
		}
		return before(cmd, args)
	}
}

// NotEmpty refuses flags that were given an empty text, as scripts do whose variables are not set. Those named in except
// may be.
func NotEmpty(cmd *cobra.Command, except ...string) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		exempt := false
		for _, name := range except {
			exempt = exempt || name == f.Name
		}
		if err == nil && !exempt && (f.Value.Type() == "string" && f.Value.String() == "" || f.Value.Type() == "stringSlice" && f.Value.String() == "[]") {
			err = fmt.Errorf("--%s is empty; give it a value, or leave it out", f.Name)
		}
	})
	return err
}

// ExpandHomes replaces a leading ~/ in flags that name files and folders, where no shell has done so (--dir=~/x).
func ExpandHomes(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		kind, _ := pflag.UnquoteUsage(f)
		if path := f.Value.String(); slices.Contains([]string{"file", "folder", "FILE"}, kind) && config.ExpandHome(path) != path {
			_ = f.Value.Set(config.ExpandHome(path)) // a text takes every value
		}
	})
}

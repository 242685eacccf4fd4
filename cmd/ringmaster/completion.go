package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/progress"
	"ringmaster/internal/rpc"
)

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print what makes a shell complete commands, flags, jobs, runs and keys",
		Long: `Prints a script that makes a shell complete what is typed: commands, flags, job files, runs, keys after --set, and the names of the
cluster's jobs (if it answers within 300 ms).

For every new shell: in ~/.bashrc write  source <(ringmaster completion bash)  and in ~/.zshrc, below compinit,  source <(ringmaster completion zsh)
For fish: ringmaster completion fish > ~/.config/fish/completions/ringmaster.fish`,
		Example: `  ringmaster completion bash > ringmaster.bash
  ringmaster completion fish`,
		Args:                  cli.Takes("bash|zsh|fish"),
		ValidArgs:             []string{"bash", "zsh", "fish"},
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				if _, err := io.WriteString(os.Stdout, withoutPackage); err != nil {
					return failed(err)
				}
				return failed(cmd.Root().GenBashCompletionV2(os.Stdout, true))
			case "zsh":
				return failed(cmd.Root().GenZshCompletion(os.Stdout))
			case "fish":
				return failed(cmd.Root().GenFishCompletion(os.Stdout, true))
			}
			return wrong(fmt.Errorf("there are no completions for %s; there are bash, zsh, fish", args[0]))
		},
	}
}

// withoutPackage is the one function that the script needs of the package bash-completion, for machines without it: the words of the line,
// not divided at = and :.
const withoutPackage = `if ! declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
    _get_comp_words_by_ref() {
        local line=${COMP_LINE:0:COMP_POINT}
        read -ra words <<<"$line"
        [[ -z $line || $line == *[[:space:]] ]] && words+=("")
        cword=$((${#words[@]} - 1))
        cur=${words[cword]}
        prev=
        ((cword > 0)) && prev=${words[cword - 1]}
        return 0
    }
fi
`

// completing bounds how long a shell waits for the cluster.
const completing = 300 * time.Millisecond

// complete says for every command what completes its arguments and flags: which of them it is tells their name.
func complete(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		complete(sub)
	}
	if cmd.ValidArgs == nil && cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = completeArgument
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if by := flagCompletion(f); by != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, by) // it fails for what is registered already
		}
	})
}

func flagCompletion(f *pflag.Flag) cobra.CompletionFunc {
	kind, _ := pflag.UnquoteUsage(f)
	switch {
	case f.Name == "set", f.Name == "grid", f.Name == "random":
		return completeKey
	case f.Name == "progress":
		return cobra.FixedCompletions(progress.Modes, cobra.ShellCompDirectiveNoFileComp)
	case f.Name == "format" && strings.Contains(f.Usage, " or "):
		return cobra.FixedCompletions(strings.Split(strings.NewReplacer(" or ", ",", ", ", ",").Replace(f.Usage), ","), cobra.ShellCompDirectiveNoFileComp)
	case f.Name == "dir":
		return completeRun
	case kind == "file" || kind == "FILE" || kind == "folder":
		return nil // the shell completes files
	}
	return cobra.NoFileCompletions
}

// completeArgument completes the argument whose name stands in the command's usage at that place.
func completeArgument(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, word := range strings.Fields(cmd.Use)[1:] {
		if word == "|" || strings.HasPrefix(word, "-") {
			break
		}
		names = append(names, strings.Trim(word, "[]"))
	}
	if len(names) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if len(args) >= len(names) && !strings.HasSuffix(names[len(names)-1], "...") {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	name := strings.TrimSuffix(names[min(len(args), len(names)-1)], "...")
	first, _, _ := strings.Cut(name, "|")
	switch {
	case name == "JOB" || name == "JOB|PROCESS":
		return completeJob(cmd, args, typed)
	case name == "JOB.yaml" || name == "JOB|PATH":
		return jobFiles(typed), cobra.ShellCompDirectiveDefault
	case slices.Contains([]string{"DIR", "RUN", "CHECKPOINT"}, first):
		return completeRun(cmd, args, typed)
	case slices.Contains([]string{"FILE", "TEXT-FILE", "FOLDER"}, first):
		return nil, cobra.ShellCompDirectiveDefault
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completeKey completes a key of a job file; its value is up to the person.
func completeKey(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var found []string
	for _, key := range config.JobKeys() {
		if strings.HasPrefix(key, typed) {
			found = append(found, key+"=")
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeRun completes the runs on this machine; with none, the shell completes files.
func completeRun(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	entries, err := os.ReadDir(launch.RunsDir)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var found []string
	for _, e := range entries {
		if path := filepath.Join(launch.RunsDir, e.Name()); e.IsDir() && strings.HasPrefix(path, typed) {
			found = append(found, path)
		}
	}
	return found, cobra.ShellCompDirectiveDefault
}

// jobFiles are the YAML files, and the folders, whose paths begin with what is typed.
func jobFiles(typed string) []string {
	entries, err := os.ReadDir(filepath.Dir(typed + "x"))
	if err != nil {
		return nil
	}
	folder := typed[:strings.LastIndex(typed, "/")+1]
	var found []string
	for _, e := range entries {
		path := folder + e.Name()
		if (strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".yml")) && strings.HasPrefix(path, typed) {
			found = append(found, path)
		}
	}
	return found
}

// completeJob completes the names of the cluster's jobs: of those that have the same, the ids. If the cluster does not answer in time, nothing.
func completeJob(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var found []string
	for _, j := range jobsFor(cmd) {
		if strings.HasPrefix(j.Name, typed) && !slices.Contains(found, j.Name) {
			found = append(found, j.Name)
		} else if strings.HasPrefix(j.Id, typed) {
			found = append(found, j.Id)
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

func jobsFor(cmd *cobra.Command) []*rpc.JobLine {
	dir, _ := cmd.Flags().GetString("dir")
	cluster, _ := cmd.Flags().GetStringSlice("cluster")
	certificate, _ := cmd.Flags().GetString("certs")
	addresses, err := clusterOf(dir, cluster)
	if err != nil {
		return nil
	}
	if len(cluster) == 0 {
		certificate = ""
	}
	options, err := connection(certificate, addresses)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), completing)
	defer cancel()
	c := client.New(addresses, options...)
	defer c.Close()
	jobs, _ := c.Jobs(ctx)
	return jobs
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/bucket"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/objects"
	"ringmaster/internal/plural"
)

// openBucket opens a place in an object store, and says on stderr when it does not answer.
func openBucket(place string) (*bucket.Bucket, checkpoint.Name, error) {
	at, one := bucket.Locate(place)
	b, err := bucket.Open(at, objects.Options{Say: sayBucket})
	return b, one, wrong(err)
}

func sayBucket(line string) { fmt.Fprintln(os.Stderr, "ringmaster: "+line) }

// bring is the folder on this machine of a checkpoint in an object store, which is fetched unless it is there already.
func bring(place string, byStep bool, step uint64) (string, error) {
	b, one, err := openBucket(place)
	if err != nil {
		return "", err
	}
	cache, err := dataset.CacheFolder(config.Data{})
	if err != nil {
		return "", failed(err)
	}
	choice := bucket.Choice{Name: one}
	if byStep {
		choice.Step = &step
	}
	path, _, err := b.Local(context.Background(), cache, choice, sayBucket)
	if errors.Is(err, bucket.ErrNone) || errors.Is(err, fs.ErrNotExist) {
		return "", wrong(err)
	}
	return path, failed(err)
}

// entriesIn lists the checkpoints in an object store, without reading all of them.
func entriesIn(ctx context.Context, b *bucket.Bucket, one checkpoint.Name) ([]checkpoint.Entry, error) {
	held, err := b.List(ctx)
	if err != nil {
		return nil, failed(err)
	}
	var entries []checkpoint.Entry
	for _, h := range held {
		if one != (checkpoint.Name{}) && h.Name != one {
			continue
		}
		e := checkpoint.Entry{Name: h.Name, Path: b.String() + "/" + h.Folder(), Bytes: h.Bytes, Err: checkpoint.ErrUnfinished}
		if h.Whole {
			if e.Manifest, e.Err = b.Manifest(ctx, h.Name); objects.Away(e.Err) {
				return nil, failed(e.Err)
			}
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, wrong(fmt.Errorf("there is no checkpoint in %s", b))
	}
	return entries, nil
}

// found lists the checkpoints below a folder or in an object store; with verify every file is read.
func found(place string, verify bool) ([]checkpoint.Entry, error) {
	if objects.Is(place) {
		b, one, err := openBucket(place)
		if err != nil {
			return nil, err
		}
		entries, err := entriesIn(context.Background(), b, one)
		for i := range entries {
			if verify && entries[i].Err == nil {
				if entries[i].Err = b.Verify(context.Background(), entries[i].Manifest); objects.Away(entries[i].Err) {
					return nil, failed(entries[i].Err)
				}
			}
		}
		return entries, err
	}
	found, err := survey(place)
	if err != nil {
		return nil, err
	}
	for i, e := range found.Entries {
		if verify {
			found.Entries[i] = e.Verify()
		}
	}
	return found.Entries, nil
}

func copyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy the checkpoints below a folder to an object store, or back",
		Long: `Copies every whole checkpoint below a folder to s3://BUCKET/PREFIX, or every one there to a folder, the newest first. What is there
already stays; each is a checkpoint there only when all of it is. Credentials come from where AWS's programs take them.`,
		Example: `  ringmaster checkpoints copy runs/quickstart-1 s3://training/quickstart
  ringmaster checkpoints copy s3://training/quickstart checkpoints`,
		Args: cli.Takes("FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			switch from, to := args[0], args[1]; {
			case objects.Is(from) && !objects.Is(to):
				return copyDown(ctx, from, to)
			case objects.Is(to) && !objects.Is(from):
				return copyUp(ctx, from, to)
			}
			return wrong(errors.New("one of FROM and TO is a place in an object store, s3://BUCKET/PREFIX, and the other one a folder"))
		},
	}
}

// copyUp copies checkpoints to an object store.
func copyUp(ctx context.Context, from, to string) error {
	located, err := survey(from)
	if err != nil {
		return err
	}
	if err := oneRun(located); err != nil {
		return err
	}
	b, _, err := openBucket(to)
	if err != nil {
		return err
	}
	copied := map[checkpoint.Name]bool{}
	for i := len(located.Entries) - 1; i >= 0; i-- {
		e := located.Entries[i].Verify()
		switch {
		case copied[e.Name] || errors.Is(e.Err, checkpoint.ErrUnfinished):
			continue
		case e.Err != nil:
			sayBucket(fmt.Sprintf("%s is left out: %v", e.Path, e.Err))
			continue
		}
		if err := b.Push(ctx, e.Store(), e.Name); err != nil {
			return failed(err)
		}
		copied[e.Name] = true
		fmt.Printf("%s/%s\n", strings.TrimSuffix(to, "/"), e.Folder())
	}
	if len(copied) == 0 {
		return failed(fmt.Errorf("no checkpoint below %s is whole", from))
	}
	fmt.Printf("%s in %s\n", plural.Of(len(copied), "checkpoint"), b)
	return nil
}

// copyDown copies checkpoints from an object store.
func copyDown(ctx context.Context, from, to string) error {
	b, one, err := openBucket(from)
	if err != nil {
		return err
	}
	entries, err := entriesIn(ctx, b, one)
	if err != nil {
		return err
	}
	store, err := checkpoint.Open(disk.OS{}, to)
	if err != nil {
		return wrong(err)
	}
	copied, bad := 0, 0
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		if errors.Is(e.Err, checkpoint.ErrUnfinished) {
			continue
		}
		if e.Err == nil {
			e.Err = b.Pull(ctx, e.Manifest, store)
		}
		if objects.Away(e.Err) || ctx.Err() != nil {
			return failed(e.Err)
		}
		if e.Err != nil {
			bad++
			sayBucket(fmt.Sprintf("%s is left out: %v", e.Path, e.Err))
			continue
		}
		copied++
		fmt.Printf("%s/%s\n", strings.TrimSuffix(to, "/"), e.Folder())
	}
	fmt.Printf("%s in %s\n", plural.Of(copied, "checkpoint"), to)
	if bad > 0 {
		return failed(fmt.Errorf("damaged: %d of %s in %s", bad, plural.Of(len(entries), "checkpoint"), b))
	}
	return nil
}

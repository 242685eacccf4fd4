package bench

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/launch"
)

// wideJob has 795,010 parameters, 3,106 KiB.
const wideJob = `
name: wide
seats: 4
model: {kind: mlp, layers: [784, 1000, 10]}
data: {kind: glyphs}
train: {steps: 100, batch_per_seat: 2}
`

func TestTuneTriesEachWayToCutOnce(t *testing.T) {
	tune := &tuning{TuneOptions: TuneOptions{File: scalingJob(t, wideJob), Sizes: []string{"512KiB", "1MiB", "4MiB", "8MiB", "1536KiB"}, Workers: 2, Rounds: 1, Window: time.Second}}
	if err := tune.load(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, size := range tune.tried {
		got = append(got, fmt.Sprintf("%s:%d:%d", size.Case, size.Buckets, size.job.Train.BucketKiB))
	}
	// 1536 KiB cuts it into three, 2 MiB into two; 8 MiB is one bucket as 4 MiB is.
	if want := "512KiB:7:512 1MiB:4:1024 1536KiB:3:1536 2MiB:2:2048 4MiB:1:4096"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	// A small model is one bucket whatever the size is: the default's stands for all.
	tune = &tuning{TuneOptions: TuneOptions{File: scalingJob(t, tinyJob), Sizes: TuneSizes, Workers: 2, Rounds: 1, Window: time.Second}}
	if err := tune.load(); err != nil || len(tune.tried) != 1 || tune.tried[0].BucketKiB != defaultKiB {
		t.Errorf("%v, %v", tune.tried, err)
	}
}

func TestTuneRefusesWrongUse(t *testing.T) {
	file := scalingJob(t, tinyJob)
	for _, c := range []struct {
		change func(*TuneOptions)
		want   string
	}{
		{func(o *TuneOptions) { o.Workers = 1 }, "--workers must be from 2 to"},
		{func(o *TuneOptions) { o.Workers = 6 }, "job.yaml:3:8: --workers 6 is more than the job's seats: 5"},
		{func(o *TuneOptions) { o.Rounds = 0 }, "--rounds must be at least 1"},
		{func(o *TuneOptions) { o.Window = 0 }, "--time must be at least 100ms"},
		{func(o *TuneOptions) { o.Sizes = []string{"1MB"} }, `--bytes: "1MB" is not a size`},
		{func(o *TuneOptions) { o.Sizes = []string{"2000"} }, "--bytes: a bucket has whole KiB, not 2000"},
		{func(o *TuneOptions) { o.Sizes = []string{"4KiB"} }, "train.bucket_kib must be from 16 to"},
		{func(o *TuneOptions) { o.File = "nowhere.yaml" }, "nowhere.yaml"},
	} {
		o := TuneOptions{File: file, Sizes: TuneSizes, Workers: 2, Rounds: 1, Window: time.Second}
		c.change(&o)
		report, err := Tune(t.Context(), o)
		var usage *launch.UsageError
		if report != nil || !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, %v; want %s", report, err, c.want)
		}
	}
}

func TestTuneAdvisesWhatIsWorthwhile(t *testing.T) {
	size := func(kib int, ms ...float64) tried {
		return tried{TuneResult: TuneResult{Case: sizeText(kib), BucketKiB: kib}, ms: ms}
	}
	for _, c := range []struct {
		tried   []tried
		advised string
		note    string
	}{
		{[]tried{size(512, 8, 12, 9), size(1024, 9, 11, 9.5), size(2048, 10, 13, 10), size(4096, 20, 20, 20)}, "512KiB", "    bucket_kib: 512"},
		{[]tried{size(512, 9.9, 12.9, 9.8), size(2048, 10, 13, 10)}, "2MiB", "Leave the job file as it is"},
		{[]tried{size(2048, 10)}, "2MiB", "Leave the job file as it is"},
	} {
		report := (&tuning{tried: c.tried}).report()
		advised := ""
		for _, r := range report.Results {
			if r := r.(TuneResult); r.Advised {
				advised += r.Case
			}
			if len(r.row()) != len(report.Columns) {
				t.Errorf("%v does not fit the columns %v", r.row(), report.Columns)
			}
		}
		if notes := strings.Join(report.Notes, "\n"); advised != c.advised || !strings.Contains(notes, c.note) {
			t.Errorf("advises %s: %s; want %s: %s", advised, notes, c.advised, c.note)
		}
	}
}

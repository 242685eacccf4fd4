package host

import (
	"io/fs"
	"os"
	"runtime"
	"testing"
	"time"
)

func TestUsageAddsUpThreads(t *testing.T) {
	files := map[string]string{
		"1/schedstat": "2000 700 9\n", "1/status": "Name:\tworker\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n",
		"2/schedstat": "500 1 2\n", "2/status": "voluntary_ctxt_switches:\t10\n",
	}
	read := func(name string) ([]byte, error) {
		text, ok := files[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}
	got, ok := usageOf(read, []string{"1", "2", "3"}) // the third has ended
	if want := (Usage{CPU: 2500, Switches: 17}); !ok || got != want {
		t.Errorf("%+v, %v, want %+v", got, ok, want)
	}
	if _, ok := usageOf(read, []string{"3"}); ok {
		t.Error("a process without threads has a usage")
	}
}

func TestUsageOfThisProcessGrows(t *testing.T) {
	before, ok := UsageOf(os.Getpid())
	if !ok {
		if runtime.GOOS == "linux" {
			t.Error("the system does not say")
		}
		return
	}
	for began := time.Now(); time.Since(began) < 20*time.Millisecond; {
	}
	if after, _ := UsageOf(os.Getpid()); after.CPU <= before.CPU || after.Switches < before.Switches {
		t.Errorf("%+v, then %+v", before, after)
	}
}

package release

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Version says what a release is called and what it is made from.
type Version struct {
	Name   string    // 1.2.0 at the tag v1.2.0; elsewhere 0.0.0-TIME.COMMIT, and +changes where files differ from the commit
	Commit string    // the first twelve digits, and +changes likewise
	Time   time.Time // that all files of the release carry
}

var (
	tagged  = regexp.MustCompile(`^v([0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.]+)?)$`)
	allowed = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$`)
)

// VersionOf finds the version of the source in a folder. A given name takes the place of the tag; SOURCE_DATE_EPOCH that of the commit's time.
func VersionOf(source, name string) (Version, error) {
	seen, err := git(source, "log", "-1", "--format=%H %ct")
	if err != nil {
		return Version{}, fmt.Errorf("the version: %w (a release is made in a clone of the repository)", err)
	}
	commit, seconds, _ := strings.Cut(seen, " ")
	changes, err := git(source, "status", "--porcelain")
	if err != nil {
		return Version{}, err
	}
	v := Version{Commit: commit[:12]}
	if v.Time, err = releaseTime(seconds); err != nil {
		return Version{}, err
	}
	if v.Name = name; name == "" {
		if v.Name, err = nameOf(source, v); err != nil {
			return Version{}, err
		}
	}
	if !allowed.MatchString(v.Name) {
		return Version{}, fmt.Errorf("version %q: it must be like 1.2.0 or 1.2.0-rc.1", v.Name)
	}
	if changes != "" {
		v.Name, v.Commit = v.Name+"+changes", v.Commit+"+changes"
	}
	return v, nil
}

// nameOf is the tag's version, or one that follows from the commit alone: a clone without the history must give the same.
func nameOf(source string, v Version) (string, error) {
	tags, err := git(source, "tag", "--points-at", "HEAD")
	if err != nil {
		return "", err
	}
	name := "0.0.0-" + v.Time.Format("20060102150405") + "." + v.Commit
	for tag := range strings.FieldsSeq(tags) {
		if found := tagged.FindStringSubmatch(tag); found != nil {
			name = found[1]
		}
	}
	return name, nil
}

func releaseTime(commit string) (time.Time, error) {
	seconds, from := commit, "the commit's time"
	if asked := os.Getenv("SOURCE_DATE_EPOCH"); asked != "" {
		seconds, from = asked, "SOURCE_DATE_EPOCH"
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n < 0 || n > 1<<33 {
		return time.Time{}, fmt.Errorf("%s is %q; it must be seconds since 1970", from, seconds)
	}
	return time.Unix(n, 0).UTC(), nil
}

// git runs git in a folder and returns what it prints, without the last newline.
func git(dir string, args ...string) (string, error) {
	out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("git %s: %s", args[0], bytes.TrimSpace(failed.Stderr))
	}
	return strings.TrimSuffix(string(out), "\n"), err
}

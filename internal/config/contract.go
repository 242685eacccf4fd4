package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/plan"
)

// ContractVersion counts the versions of the numerics contract. It changes whenever the same configuration, data and
// seed give other bits than before.
const ContractVersion = 5

// Item is a key and its value as canonical YAML.
type Item struct {
	Key, Value string
}

// Contract lists, in a fixed order, everything in the configuration that the bits of the job depend on, beginning with
// the contract's version. The data's fingerprint belongs to it too and is added by those who have read the data.
func (j *Job) Contract() []Item {
	items := []Item{{"contract", strconv.Itoa(ContractVersion)}}
	return appendItems(items, "", reflect.ValueOf(j).Elem(), false)
}

// appendItems appends the keys of a struct: those that the bits depend on, or all.
func appendItems(items []Item, key string, v reflect.Value, all bool) []Item {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := field.Tag.Get("yaml")
		if name == "" || !all && field.Tag.Get("contract") != "" || !exists(v, i) || isOmitted(field.Tag, v.Field(i)) {
			continue
		}
		if field.Type.Kind() == reflect.Struct {
			items = appendItems(items, join(key, name), v.Field(i), all)
		} else {
			items = append(items, Item{join(key, name), encodeValue(v.Field(i))})
		}
	}
	return items
}

// Difference is a key that a resumed job must not change.
type Difference struct {
	Key      string
	Old, New string // as canonical YAML; empty where the key does not exist
}

// Inherit takes over from the job that a checkpoint was written by what is fixed when a job is first submitted: the
// schedule's horizon, unless this job's file states one, and the digest of the weights that training began from.
func (j *Job) Inherit(old *Job) {
	if !j.origin.written("train.schedule.horizon") {
		j.Train.Schedule.Horizon = old.Train.Schedule.Horizon
	}
	if j.Model.InitDigest == "" && j.Model.Init == old.Model.Init {
		j.Model.InitDigest = old.Model.InitDigest
	}
}

// Shorter says that job next ends before job old, which prevents resuming with it; nil where it does not. samples is the size of the training
// set.
func Shorter(old, next *Job, samples int) []Difference {
	if next.TotalSteps(samples) < old.TotalSteps(samples) {
		return []Difference{old.endDifference(next, samples)}
	}
	return nil
}

// Changes lists what differs in job next from job old of all that the bits depend on, whatever the end of the jobs.
func Changes(old, next *Job) []Difference {
	return compare(old.Contract(), next.Contract())
}

// FreeChanges lists what differs in job next from job old of all that the bits do not depend on, or not alone: the end counts to it.
func FreeChanges(old, next *Job) []Difference {
	all := func(j *Job) []Item { return appendItems(nil, "", reflect.ValueOf(j).Elem(), true) }
	bits := map[string]bool{}
	for _, d := range Changes(old, next) {
		bits[d.Key] = true
	}
	return slices.DeleteFunc(compare(all(old), all(next)), func(d Difference) bool { return bits[d.Key] })
}

// compare lists what differs, in the order of the keys before, then of those that were added.
func compare(before, after []Item) []Difference {
	var found []Difference
	values := map[string]string{}
	for _, item := range after {
		values[item.Key] = item.Value
	}
	for _, item := range before {
		if value, ok := values[item.Key]; !ok || value != item.Value {
			found = append(found, Difference{item.Key, item.Value, value})
		}
		delete(values, item.Key)
	}
	for _, item := range after {
		if _, added := values[item.Key]; added {
			found = append(found, Difference{item.Key, "", item.Value})
		}
	}
	return found
}

// endDifference names the key that makes next end earlier.
func (j *Job) endDifference(next *Job, samples int) Difference {
	if j.Train.Steps == 0 && next.Train.Steps == 0 {
		return Difference{"train.epochs", strconv.Itoa(j.Train.Epochs), strconv.Itoa(next.Train.Epochs)}
	}
	if j.Train.Steps > 0 && next.Train.Steps > 0 {
		return Difference{"train.steps", strconv.Itoa(j.Train.Steps), strconv.Itoa(next.Train.Steps)}
	}
	perEpoch := plan.StepsPerEpoch(samples, j.Seats, j.Train.PerSeat())
	describe := func(t Train) string {
		if t.Steps > 0 {
			return strconv.Itoa(t.Steps)
		}
		return strconv.Itoa(t.Epochs*perEpoch) + " (train.epochs: " + strconv.Itoa(t.Epochs) + ")"
	}
	return Difference{"train.steps", describe(j.Train), describe(next.Train)}
}

// Describe names what differs on one line, as write puts each difference, and the first few where it is another job altogether.
func Describe(differences []Difference, write func(Difference) string) string {
	const most = 8
	var lines []string
	for _, d := range differences[:min(len(differences), most)] {
		lines = append(lines, write(d))
	}
	if more := len(differences) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more: is it the same job?", more))
	}
	return strings.Join(lines, "; ")
}

// String says in a user's words what differs.
func (d Difference) String() string {
	switch {
	case d.Old == "":
		return fmt.Sprintf("%s is %s, which the checkpoint's job did not have", d.Key, d.New)
	case d.New == "":
		return fmt.Sprintf("%s is gone; it was %s", d.Key, d.Old)
	case d.Key == "train.epochs" || d.Key == "train.steps":
		return fmt.Sprintf("%s is %s, but was %s; the end can only be put off", d.Key, d.New, d.Old)
	}
	return fmt.Sprintf("%s is %s, but was %s", d.Key, d.New, d.Old)
}

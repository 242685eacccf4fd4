package plan

// Memory is the memory that a worker has and that a job needs there, in bytes. Unknown values are 0.
type Memory struct {
	Machine uint64 // of the worker's machine, for all its processes
	Limit   uint64 // of the worker's process
	Job     uint64 // needed by the job, without its seats' gradients
	Seat    uint64 // the gradient of one seat
}

// Sharing is how many of the members run on the member's machine.
func Sharing(members []Member, m Member) int {
	n := 0
	for _, other := range members {
		if other.Incarnation == m.Incarnation || other.Machine == m.Machine && m.Machine != "" {
			n++
		}
	}
	return n
}

// Room is what the worker may use if this many workers, itself included, share its machine; 0: not known. A tenth of the
// machine's memory is left to everything else that runs there.
func (m Memory) Room(sharing int) uint64 {
	room := m.Machine / 10 * 9 / uint64(max(sharing, 1))
	if m.Limit > 0 && (room == 0 || m.Limit < room) {
		room = m.Limit
	}
	return room
}

// Seats is how many of the job's seats fit into the worker's memory: all of them where its size is unknown.
func (m Memory) Seats(sharing, all int) int {
	room := m.Room(sharing)
	switch {
	case room == 0 || m.Seat == 0:
		return all
	case room <= m.Job:
		return 0
	}
	return int(min((room-m.Job)/m.Seat, uint64(all)))
}

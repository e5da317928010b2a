"""All rows, in the order of the table."""

from rows import grpc_state, invoke, lane, memory, pubsub, split, state

ROWS = [*lane.ROWS, *state.ROWS, *grpc_state.ROWS, *invoke.ROWS, *pubsub.ROWS, *split.ROWS, *memory.ROWS]

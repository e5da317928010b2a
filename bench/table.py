"""The results as text."""

from measurement import RATE, SIZE

BUSY = 0.1  # CPUs that others kept busy, from which on a figure says less


def number(value, unit):
    if unit == RATE:
        return f"{value:,.0f}/s".replace(",", " ") if value < 1e6 else f"{value / 1e6:.2f} M/s"
    return f"{value:.1f} MB" if unit == SIZE else f"{value:.2f} µs" if value < 10 else f"{value:.0f} µs"


def value_of(made):
    return "-" if made.note.startswith("not available") else number(made.value, made.unit)


def details(made):
    """The lines under a measurement."""
    spent = ", ".join(f"{name} {us:.2f}" for name, us in sorted(made.cpu_us.items(), key=lambda item: -item[1]))
    if spent:
        yield f"CPU µs each: {spent}"
    if made.memory:
        yield "PSS MB: " + ", ".join(f"{name} {one['pss_kib'] / 1024:.1f}" for name, one in made.memory.items())
        yield "private dirty MB: " + ", ".join(f"{name} {one['private_dirty_kib'] / 1024:.1f}"
                                               for name, one in made.memory.items())
    if made.note:
        yield made.note
    if made.errors:
        yield f"ERRORS: {made.errors}"
    if made.others_cpus and made.others_cpus >= BUSY:
        yield f"meanwhile others kept {made.others_cpus:.1f} CPUs busy"
    for bar in made.bars:
        scaled = "" if bar.at_speed is None else f"; at this machine's speed {'met' if bar.at_speed else 'MISSED'}"
        yield f"{'met   ' if bar.met else 'MISSED'} {bar.text}{scaled}"


def latency(value):
    return "" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def print_machine(machine):
    print(f"{machine['cpus']} CPUs ({machine['model']}; {machine['hypervisor']}; governor {machine['governor']}), "
          f"{machine['memory_mb']} MB, {machine['kernel']}; commit {machine['commit']}, {machine['date']}, "
          f"load average {machine['load_average']}")


def print_row(row, measurements):
    print(f"\n{row.name}: {row.about}   (bench/run {row.name})")
    for made in measurements:
        mark = "·" if made.is_reference else " "
        ratio = f"{made.ratio:.2f} × {made.reference}" if made.ratio is not None and made.value else ""
        print(f" {mark}{made.what:<46} {value_of(made):>12}  p50 {latency(made.p50_us):>6}  "
              f"p99 {latency(made.p99_us):>6}  {made.placement:<22} {ratio}")
        if made.command:
            print(f"      $ {made.command}")
        for line in details(made):
            print(f"      {line}")


def print_bars(results, speed):
    bars = [(row, made, bar) for row, measurements in results for made in measurements for bar in made.bars]
    print(f"\n{sum(bar.met for *_, bar in bars)} of {len(bars)} bars met")
    if speed is not None:
        at_speed = sum(bar.met if bar.at_speed is None else bar.at_speed for *_, bar in bars)
        print(f"  {at_speed} where absolute ones are scaled by this machine's speed: redis-benchmark GET makes "
              f"{speed:.2f} of what it made where they were set")
    busy = [made.others_cpus for _, measurements in results for made in measurements if made.others_cpus]
    if busy and max(busy) >= BUSY:
        print(f"  others kept up to {max(busy):.1f} CPUs busy meanwhile: measure again on a quiet machine")
    for row, made, bar in bars:
        if not bar.met:
            print(f"  missed: {row.name}: {made.what}: {value_of(made)}, asked {bar.text}")

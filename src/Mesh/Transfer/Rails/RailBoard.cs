// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Rails;

/// <summary>
/// Which rail the next slice goes over, and how the rails are. A slice goes where (bytes in flight + slice) / bandwidth
/// is least, with a damped bandwidth, among the rails that its memory prefers, or else among the others. A rail that
/// fails pauses, each time in a row twice as long; then one slice probes it, and when that arrives the rail is used
/// again. Thread-safe under one lock, held for a few comparisons; nothing is allocated for a slice.
/// </summary>
internal sealed class RailBoard
{
    /// <summary>How long a rail that has failed is left alone.</summary>
    public static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);

    /// <summary>Longest pause, and that of a port that is down: the event of its coming back may be lost.</summary>
    public static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    private readonly Lock _lock = new();
    private readonly RailState[] _rails;

    /// <param name="ports">The rails; their numbers are the places in this list.</param>
    /// <param name="time">Clock.</param>
    public RailBoard(IReadOnlyList<RailPort> ports, TimeProvider time)
    {
        _rails = new RailState[ports.Count];
        for (int i = 0; i < _rails.Length; i++)
            _rails[i] = new RailState(ports[i], time);
    }

    /// <summary>What every rail has done, in the order of their numbers.</summary>
    public RailCount[] Counts()
    {
        var counts = new RailCount[_rails.Length];
        lock (_lock)
        {
            for (int i = 0; i < counts.Length; i++)
                counts[i] = _rails[i].Count;
        }

        return counts;
    }

    /// <summary>
    /// Places a slice, which must be given back by <see cref="Arrived"/>, <see cref="Failed"/> or <see cref="Ended"/>.
    /// </summary>
    /// <param name="choice">The rails to choose from.</param>
    /// <param name="bytes">Its length.</param>
    /// <param name="slice">Where it goes.</param>
    /// <param name="retryAfter">When all of them pause: the time until one may be probed.</param>
    /// <returns>False when all rails pause, or there are none.</returns>
    public bool TryPlace(RailChoice choice, long bytes, out RailSlice slice, out TimeSpan retryAfter)
    {
        lock (_lock)
        {
            int rail = First(choice.Preferred, bytes);
            if (rail < 0)
                rail = First(choice.Others, bytes);
            slice = rail < 0 ? default : _rails[rail].Begin(rail, bytes);
            retryAfter = rail < 0 ? Least(UntilProbe(choice.Preferred), UntilProbe(choice.Others)) : TimeSpan.Zero;
            return rail >= 0;
        }
    }

    /// <summary>A slice has arrived; the time since it was placed measures the rail.</summary>
    public void Arrived(in RailSlice slice)
    {
        lock (_lock)
            _rails[slice.Rail].Arrived(slice);
    }

    /// <summary>A slice has failed by its rail's fault.</summary>
    /// <returns>Whether a pause begins by it: the rail's connections are then to be made anew.</returns>
    public bool Failed(in RailSlice slice)
    {
        lock (_lock)
            return _rails[slice.Rail].Failed(slice);
    }

    /// <summary>A slice has ended in a way that says nothing about its rail: cancelled, or too late.</summary>
    public void Ended(in RailSlice slice)
    {
        lock (_lock)
            _rails[slice.Rail].Ended(slice);
    }

    /// <summary>A port is down: its rail pauses at once. Nothing happens for a port that is no rail.</summary>
    public void PortDown(string device, int port)
    {
        lock (_lock)
            Find(device, port)?.PortDown();
    }

    /// <summary>A port is up: its rail's pause is over. Nothing happens for a port that is no rail.</summary>
    public void PortUp(string device, int port)
    {
        lock (_lock)
            Find(device, port)?.PortUp();
    }

    private static TimeSpan Least(TimeSpan a, TimeSpan b) => a < b ? a : b;

    /// <summary>A rail whose probe is due, or that which is to carry a slice; -1: all pause.</summary>
    private int First(int[] numbers, long bytes)
    {
        double fastest = 1;
        foreach (int number in numbers)
            fastest = Math.Max(fastest, _rails[number].Bandwidth);
        int best = -1;
        double least = double.MaxValue;
        foreach (int number in numbers)
        {
            var rail = _rails[number];
            if (rail.IsPausing)
            {
                if (rail.UntilProbe <= TimeSpan.Zero)
                    return number;
                continue;
            }

            double seconds = rail.SecondsFor(bytes, fastest);
            if (seconds < least)
                (best, least) = (number, seconds);
        }

        return best;
    }

    private TimeSpan UntilProbe(int[] numbers)
    {
        var least = LongestPause;
        foreach (int number in numbers)
            least = Least(least, _rails[number].UntilProbe);
        return least;
    }

    private RailState? Find(string device, int port)
    {
        foreach (var rail in _rails)
        {
            if (rail.Port.Port == port && rail.Port.Device == device)
                return rail;
        }

        return null;
    }
}

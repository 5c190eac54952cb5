// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Rails;

/// <summary>How one rail is. Guarded by the lock of its <see cref="RailBoard"/>.</summary>
/// <param name="port">Which one.</param>
/// <param name="time">Clock of its pauses.</param>
internal sealed class RailState(RailPort port, TimeProvider time)
{
    /// <summary>How much a new measurement counts.</summary>
    private const double Weight = 0.25;

    /// <summary>A measurement this old is doubted: one slice may find out whether it still holds.</summary>
    private static readonly TimeSpan Doubt = TimeSpan.FromSeconds(5);

    private TimeSpan _pause;
    private long _pausedAt;
    private long _measuredAt;
    private long _since;
    private long _bytes;
    private long _slices;
    private long _errors;
    private long _inFlight;
    private long _pauses;
    private long _epoch;
    private bool _isProbing;

    /// <summary>Which one.</summary>
    public RailPort Port => port;

    /// <summary>Whether it carries nothing but a probe.</summary>
    public bool IsPausing { get; private set; }

    /// <summary>Bytes a second, a moving average; 0: not measured yet.</summary>
    public double Bandwidth { get; private set; }

    /// <summary>What is known of it.</summary>
    public RailCount Count => new(port, _bytes, _slices, _errors, _pauses, _inFlight, Bandwidth, IsPausing);

    /// <summary>Time until it may be probed; none: now.</summary>
    public TimeSpan UntilProbe
    {
        get
        {
            if (!_isProbing)
                return time.LeftOf(_pause, _pausedAt);
            // The probe's end decides, which is not known: to be asked again.
            return RailBoard.FirstPause;
        }
    }

    /// <summary>
    /// Seconds until a slice given now would have arrived, by a damped bandwidth: the geometric mean of the rail's own
    /// and the fastest's. Rails that share what limits them are each served by what each has in flight; with the whole
    /// difference whoever was ahead once would be given more and so stay ahead, with half of it they come together
    /// again. Rails that differ by themselves carry what they can all the same, as each is kept busy. A rail that was
    /// not measured, or not lately, is taken for as fast as the fastest, or it would never be measured again.
    /// </summary>
    public double SecondsFor(long bytes, double fastest)
    {
        bool known = Bandwidth > 0 && (_inFlight > 0 || time.GetElapsedTime(_measuredAt) <= Doubt);
        return (_inFlight + bytes) / (known ? Math.Sqrt(Bandwidth * fastest) : fastest);
    }

    /// <summary>A slice is given to it; while it pauses, that is its probe.</summary>
    public RailSlice Begin(int number, long bytes)
    {
        if (_inFlight == 0)
            _since = time.GetTimestamp();
        _inFlight += bytes;
        _isProbing = IsPausing;
        return new RailSlice(number, bytes, _bytes, _epoch, _since, IsPausing);
    }

    /// <summary>A slice has arrived.</summary>
    public void Arrived(in RailSlice slice)
    {
        _inFlight -= slice.Bytes;
        _bytes += slice.Bytes;
        _slices++;
        _since = time.GetTimestamp();
        if (slice.Epoch != _epoch)
            return;
        // One slice alone takes the time of the way, not of the bytes: a probe does not measure.
        if (!slice.IsProbe)
            Measure(slice);
        // The probe ends the pause, and only what follows it says that the trouble is over: else a rail that fails
        // after each probe would never pause for longer.
        if (slice.IsProbe)
            IsPausing = _isProbing = false;
        else if (!IsPausing)
            _pause = TimeSpan.Zero;
    }

    /// <summary>A slice has failed.</summary>
    /// <returns>Whether it says anything new: of many that fail together, the first does.</returns>
    public bool Failed(in RailSlice slice)
    {
        _inFlight -= slice.Bytes;
        _errors++;
        if (slice.Epoch != _epoch)
            return false;
        Pause(_pause == TimeSpan.Zero ? RailBoard.FirstPause : _pause * 2);
        return true;
    }

    /// <summary>A slice has ended in a way that says nothing about the rail.</summary>
    public void Ended(in RailSlice slice)
    {
        _inFlight -= slice.Bytes;
        if (slice.IsProbe && slice.Epoch == _epoch)
            _isProbing = false;
    }

    /// <summary>Its port is down.</summary>
    public void PortDown() => Pause(RailBoard.LongestPause);

    /// <summary>Its port is up: a pause is over at once, and the next slice is the probe.</summary>
    public void PortUp()
    {
        if (IsPausing)
            _pause = TimeSpan.Zero;
    }

    /// <summary>
    /// All that arrived while the slice was on its way, by the time that took: so it matters neither how late a slice
    /// is handed to the device nor how many arrivals are seen at once.
    /// </summary>
    private void Measure(in RailSlice slice)
    {
        _measuredAt = _since;
        double seconds = time.GetElapsedTime(slice.Since, _since).TotalSeconds;
        double bandwidth = (_bytes - slice.Before) / Math.Max(seconds, 1e-6);
        Bandwidth = Bandwidth == 0 ? bandwidth : (Bandwidth * (1 - Weight)) + (bandwidth * Weight);
    }

    /// <summary>What was given and measured before says nothing from here on.</summary>
    private void Pause(TimeSpan pause)
    {
        if (!IsPausing)
            _pauses++;
        IsPausing = true;
        Bandwidth = 0;
        _isProbing = false;
        _epoch++;
        _pause = pause < RailBoard.LongestPause ? pause : RailBoard.LongestPause;
        _pausedAt = time.GetTimestamp();
    }
}

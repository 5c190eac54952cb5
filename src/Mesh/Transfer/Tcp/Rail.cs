// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// One way to a peer: from one of our addresses to one of its own, with data connections of its own, and what is known
/// of its speed and health. Guarded by the lock of its <see cref="RailSet"/>.
/// </summary>
/// <param name="number">Its number in the set.</param>
/// <param name="card">Which of our addresses it leaves by, for the counters.</param>
/// <param name="queue">Its connections.</param>
/// <param name="time">Clock of its pauses.</param>
internal sealed class Rail(int number, int card, JobQueue<TcpJob> queue, TimeProvider time)
{
    /// <summary>How long a rail that has failed is left alone; each time in a row twice as long.</summary>
    public static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);

    /// <summary>Longest pause.</summary>
    public static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    /// <summary>How much a new measurement counts.</summary>
    private const double Weight = 0.25;

    /// <summary>A measurement this old is doubted: one slice may find out whether it still holds.</summary>
    private static readonly TimeSpan Doubt = TimeSpan.FromSeconds(5);

    private TimeSpan _pause;
    private long _measuredAt;
    private long _failedAt;
    private bool _probing;

    /// <summary>Its number in the set.</summary>
    public int Number => number;

    /// <summary>Which of our addresses it leaves by, for the counters.</summary>
    public int Card => card;

    /// <summary>Its connections.</summary>
    public JobQueue<TcpJob> Queue => queue;

    /// <summary>Bytes on their way, of all reads.</summary>
    public long InFlight { get; private set; }

    /// <summary>Bytes a second, a moving average; 0: not measured yet.</summary>
    public double Speed { get; private set; }

    /// <summary>Whether it has failed and no probe has got through since.</summary>
    public bool IsPausing { get; private set; }

    /// <summary>How often it has failed: what was given to it before says nothing new.</summary>
    public int Failures { get; private set; }

    /// <summary>Whether its pause is over and it is to be probed, which this call begins.</summary>
    public bool TryBeginProbe()
    {
        if (!IsPausing || _probing || time.GetElapsedTime(_failedAt) < _pause)
            return false;
        _probing = true;
        return true;
    }

    /// <summary>The probe has ended.</summary>
    public void Probed(bool gotThrough)
    {
        _probing = false;
        if (gotThrough)
            IsPausing = false;
        else
            Pause();
    }

    /// <summary>
    /// The speed to reckon with: one that was not measured, or not lately, is taken for as fast as the fastest, or it
    /// would never be measured again.
    /// </summary>
    public double SpeedOr(double fastest) =>
        Speed == 0 || (InFlight == 0 && time.GetElapsedTime(_measuredAt) > Doubt) ? fastest : Speed;

    /// <summary>A slice is given to it.</summary>
    /// <returns>The bytes on their way, these included.</returns>
    public long Begin(long bytes) => InFlight += bytes;

    /// <summary>A slice has arrived.</summary>
    /// <param name="bytes">Its length.</param>
    /// <param name="ahead">Bytes on their way when it was given, its own included.</param>
    /// <param name="took">Time since then.</param>
    public void Arrived(long bytes, long ahead, TimeSpan took)
    {
        End(bytes);
        if (!IsPausing)
            _pause = TimeSpan.Zero;
        _measuredAt = time.GetTimestamp();
        double speed = ahead / Math.Max(took.TotalSeconds, 1e-6);
        Speed = Speed == 0 ? speed : (Speed * (1 - Weight)) + (speed * Weight);
    }

    /// <summary>A slice has failed: the rail pauses, twice as long as the last time.</summary>
    /// <param name="bytes">Its length.</param>
    /// <param name="failures"><see cref="Failures"/> when it was given.</param>
    /// <returns>Whether this begins a pause: of several slices that fail with one connection, the first does.</returns>
    public bool Failed(long bytes, int failures)
    {
        End(bytes);
        if (failures != Failures)
            return false;
        Pause();
        return true;
    }

    /// <summary>A slice has ended in a way that says nothing about the rail.</summary>
    public void End(long bytes) => InFlight -= bytes;

    private void Pause()
    {
        IsPausing = true;
        Failures++;
        _pause = _pause == TimeSpan.Zero ? FirstPause : _pause * 2 < LongestPause ? _pause * 2 : LongestPause;
        _failedAt = time.GetTimestamp();
    }
}

/// <summary>Addresses of a rail.</summary>
/// <param name="From">Our address.</param>
/// <param name="To">host:port of the peer.</param>
internal readonly record struct RailPair(string From, string To);

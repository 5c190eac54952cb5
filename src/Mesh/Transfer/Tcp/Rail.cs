// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// One way to a peer: from one of our addresses to one of its own, with data connections of its own, and what is known
/// of its speed and health. Guarded by the lock of its <see cref="RailSet"/>.
/// </summary>
internal sealed class Rail(RailPair pair, JobQueue<TcpJob> queue, TimeProvider time)
{
    /// <summary>How much a new measurement counts.</summary>
    private const double Weight = 0.25;

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private TimeSpan _pause;
    private long _failedAt;

    /// <summary>Its two addresses.</summary>
    public RailPair Pair => pair;

    /// <summary>Its connections.</summary>
    public JobQueue<TcpJob> Queue => queue;

    /// <summary>Slices on their way.</summary>
    public int Slices { get; private set; }

    /// <summary>Bytes on their way.</summary>
    public long InFlight { get; private set; }

    /// <summary>Bytes a second, a moving average; 0: not measured yet.</summary>
    public double Speed { get; private set; }

    /// <summary>Bytes carried.</summary>
    public long Carried { get; private set; }

    /// <summary>Whether it has failed and is not tried again yet.</summary>
    public bool IsPausing => _pause > TimeSpan.Zero && time.GetElapsedTime(_failedAt) < _pause;

    /// <summary>A slice is given to it.</summary>
    public void Begin(long bytes)
    {
        Slices++;
        InFlight += bytes;
    }

    /// <summary>A slice has arrived.</summary>
    /// <param name="bytes">Its length.</param>
    /// <param name="ahead">Bytes on their way when it was given, its own included.</param>
    /// <param name="took">Time since then.</param>
    public void Arrived(long bytes, long ahead, TimeSpan took)
    {
        End(bytes);
        Carried += bytes;
        _pause = TimeSpan.Zero;
        double speed = ahead / Math.Max(took.TotalSeconds, 1e-6);
        Speed = Speed == 0 ? speed : (Speed * (1 - Weight)) + (speed * Weight);
    }

    /// <summary>A slice has failed: the rail pauses, twice as long as the last time.</summary>
    public void Failed(long bytes)
    {
        End(bytes);
        // Several slices fail with one connection: one pause for them.
        if (IsPausing)
            return;
        _pause = _pause == TimeSpan.Zero ? FirstPause : _pause * 2 < LongestPause ? _pause * 2 : LongestPause;
        _failedAt = time.GetTimestamp();
    }

    /// <summary>A slice has ended in a way that says nothing about the rail.</summary>
    public void End(long bytes)
    {
        Slices--;
        InFlight -= bytes;
    }
}

/// <summary>Addresses of a rail.</summary>
/// <param name="From">Our address; empty: the system chooses.</param>
/// <param name="To">host:port of the peer.</param>
internal readonly record struct RailPair(string From, string To);

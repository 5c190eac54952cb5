// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>Bytes on their way by one transport, and its speed lately. Thread-safe.</summary>
/// <param name="name">Name of the transport.</param>
internal sealed class LoadMeter(string name)
{
    /// <summary>How much a new measurement counts.</summary>
    private const double Weight = 0.25;

    private long _inFlight;
    private double _speed;

    /// <summary>What it carries now.</summary>
    public RailLoad Load => new(name, (ulong)Math.Max(0, Interlocked.Read(ref _inFlight)), Volatile.Read(ref _speed));

    /// <summary>Bytes are submitted.</summary>
    public void Begin(long bytes) => Interlocked.Add(ref _inFlight, bytes);

    /// <summary>They have ended.</summary>
    public void End(long bytes) => Interlocked.Add(ref _inFlight, -bytes);

    /// <summary>So many bytes took so long.</summary>
    public void Measure(long bytes, TimeSpan took)
    {
        if (took <= TimeSpan.Zero || bytes == 0)
            return;
        // Of two that measure at once one is lost: it is an average.
        double speed = bytes / took.TotalSeconds;
        double last = Volatile.Read(ref _speed);
        Volatile.Write(ref _speed, last == 0 ? speed : (last * (1 - Weight)) + (speed * Weight));
    }
}

// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>The clock of a run: microseconds since its start.</summary>
internal sealed class RunClock
{
    private readonly long _start = Stopwatch.GetTimestamp();

    public long Now => (long)Stopwatch.GetElapsedTime(_start).TotalMicroseconds;
}

/// <summary>One process of a node, from when it served until it was told to end, with the times it was away.</summary>
/// <param name="nodeId">The node.</param>
/// <param name="up">Since when it serves.</param>
internal sealed class NodeLife(string nodeId, long up)
{
    private readonly List<(long From, long To)> _away = [];
    private long _down = long.MaxValue;

    public string NodeId => nodeId;

    /// <summary>It is told to end, or killed, after this moment.</summary>
    public void End(long now) => Volatile.Write(ref _down, now);

    /// <summary>From now on it cannot be counted on: stopped, cut off.</summary>
    public void Leave(long now)
    {
        lock (_away)
            _away.Add((now, long.MaxValue));
    }

    /// <summary>It can again.</summary>
    public void Return(long now)
    {
        lock (_away)
            _away[^1] = (_away[^1].From, now);
    }

    /// <summary>Whether it served and could be reached for the whole of a time.</summary>
    public bool Lived(long from, long to)
    {
        if (from < up || Volatile.Read(ref _down) < to)
            return false;
        lock (_away)
            return _away.TrueForAll(away => away.To < from || away.From > to);
    }
}

/// <summary>The present life of every node, for those who put and those who let nodes fail. Thread-safe.</summary>
internal sealed class NodeLives(RunClock clock)
{
    private readonly Dictionary<string, NodeLife> _present = [];

    /// <summary>A node serves.</summary>
    public void Begin(string nodeId)
    {
        lock (_present)
            _present[nodeId] = new NodeLife(nodeId, clock.Now);
    }

    /// <summary>Its present life, or null.</summary>
    public NodeLife? Of(string nodeId)
    {
        lock (_present)
            return _present.GetValueOrDefault(nodeId);
    }

    /// <summary>It is about to be told to end, or killed.</summary>
    public void End(string nodeId)
    {
        lock (_present)
        {
            _present[nodeId].End(clock.Now);
            _present.Remove(nodeId);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>Takes the calls of a run, in the order of their ends. Thread-safe.</summary>
internal interface ICallSink
{
    void Add(CallRecord call);
}

/// <summary>
/// Keeps the calls for the checker; writes them as well, one a line, to the file that MESH_TEST_HISTORY names.
/// </summary>
internal sealed class CallLog : ICallSink, IDisposable
{
    private readonly List<CallRecord> _calls = [];
    private readonly StreamWriter? _file =
        Environment.GetEnvironmentVariable("MESH_TEST_HISTORY") is { Length: > 0 } path ? new StreamWriter(path) : null;

    /// <summary>The calls so far.</summary>
    public CallRecord[] Calls
    {
        get
        {
            lock (_calls)
                return [.. _calls];
        }
    }

    /// <inheritdoc/>
    public void Add(CallRecord call)
    {
        lock (_calls)
        {
            _calls.Add(call);
            _file?.WriteLine(call);
        }
    }

    public void Dispose() => _file?.Dispose();
}

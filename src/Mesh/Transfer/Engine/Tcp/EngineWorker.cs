// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Engine.Batches;

namespace Mooncake.Mesh.Transfer.Engine.Tcp;

/// <summary>One connection to a peer and the thread that works with it.</summary>
/// <param name="dial">Opens a connection to the process that is meant; null: it cannot be reached.</param>
/// <param name="broken">Told of each connection that broke at work.</param>
internal sealed class EngineWorker(Func<CancellationToken, EngineConnection?> dial, Action broken)
    : IJobWorker<EngineJob>
{
    private readonly Lock _gate = new();
    private readonly EngineEntry[] _entries = new EngineEntry[EngineRequest.MostEntries];
    private EngineConnection? _connection;
    private bool _cut;

    /// <inheritdoc/>
    public bool TryPrepare(CancellationToken closing)
    {
        if (_connection is not null)
        {
            if (_connection.IsUsable)
                return true;
            Close();
        }

        var connection = dial(closing);
        lock (_gate)
        {
            if (!_cut)
                _connection = connection;
        }

        if (_connection is null)
            connection?.Dispose();
        return _connection is not null;
    }

    /// <inheritdoc/>
    public bool TryRun(EngineJob job, bool lastTry)
    {
        var connection = _connection!;
        if (!job.TryBegin(connection.Socket) || job.Run(connection, _entries))
            return true;
        Close();
        broken();
        return true;
    }

    /// <inheritdoc/>
    public void Cut()
    {
        lock (_gate)
        {
            _cut = true;
            _connection?.Socket.Stop();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Close();

    private void Close()
    {
        EngineConnection? connection;
        lock (_gate)
        {
            connection = _connection;
            _connection = null;
        }

        connection?.Dispose();
    }
}

/// <summary>A thread that copies. A stop is followed between two pieces, by the work itself.</summary>
internal sealed class EngineCopier : IJobWorker<EngineJob>, IStoppable
{
    private readonly EngineEntry[] _entries = new EngineEntry[EngineRequest.MostEntries];

    /// <inheritdoc/>
    public bool TryPrepare(CancellationToken closing) => true;

    /// <inheritdoc/>
    public bool TryRun(EngineJob job, bool lastTry)
    {
        if (job.TryBegin(this))
            job.Run(null, _entries);
        return true;
    }

    /// <inheritdoc/>
    public void Cut()
    {
    }

    /// <inheritdoc/>
    public void Stop()
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}

// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>
/// The processes of this host that have opened our memory, each by a token of its own. Thread-safe.
/// </summary>
internal sealed class ClientProcesses : IDisposable
{
    private readonly Dictionary<ulong, ClientProcess> _processes = [];
    private volatile ClientLimits _limits;
    private readonly RandomSource _random;
    private readonly ILogger _log;
    private readonly ProcessWatcher _watcher;
    private bool _closed;

    public ClientProcesses(ClientLimits limits, MeshRuntime runtime)
    {
        _limits = limits;
        _random = runtime.Random;
        _log = runtime.Log.CreateLogger("mesh.shm");
        _watcher = new ProcessWatcher(Ended);
    }

    /// <summary>What each process may have from now on.</summary>
    public ClientLimits Limits
    {
        set
        {
            lock (_processes)
            {
                _limits = value;
                foreach (var process in _processes.Values)
                    process.Limits = value;
            }
        }
    }

    /// <summary>Told of each process that has ended; its reservations are to be freed.</summary>
    public Action<ClientProcess>? OnEnd { get; set; }

    /// <summary>Processes, and what they have together.</summary>
    public ClientUsage Usage
    {
        get
        {
            lock (_processes)
            {
                var usage = new ClientUsage(_processes.Count, 0, 0, 0);
                foreach (var process in _processes.Values)
                {
                    var (views, viewBytes, reserved) = process.Usage;
                    usage = new ClientUsage(usage.Processes, usage.Views + views, usage.ViewBytes + viewBytes,
                        usage.ReservedBytes + reserved);
                }

                return usage;
            }
        }
    }

    /// <summary>The process behind a connection over the Unix socket; null when its end could not be seen.</summary>
    public ClientProcess? Add(Socket socket)
    {
        if (PeerOf(socket) is not { } peer)
            return null;
        int fd = ProcessWatcher.Open((int)socket.Handle, peer.pid);
        if (fd < 0)
        {
            _log.LogDebug("client_not_watched pid={Pid}", peer.pid);
            return null;
        }

        var process = new ClientProcess(_random.NextUInt64(), peer.pid, MayWrite(peer), _limits);
        bool welcome;
        lock (_processes)
        {
            process.Limits = _limits;
            welcome = !_closed && _processes.Count < ClientLimits.Processes;
            if (welcome)
                _processes.Add(process.Token, process);
        }

        if (!welcome)
        {
            _ = LibC.close(fd);
            return null;
        }

        if (_watcher.TryWatch(fd, process))
            return process;
        Drop(process);
        return null;
    }

    /// <summary>The process with this token; null when it is not known, or has ended.</summary>
    public ClientProcess? Find(ulong token)
    {
        lock (_processes)
            return _processes.GetValueOrDefault(token);
    }

    /// <summary>The process says that it has let go of everything.</summary>
    public void End(ClientProcess process)
    {
        Ended(process);
        _watcher.Forget(process);
    }

    /// <summary>
    /// The process has closed its connection, or lost it: what it has stays, as it may live and use it (rule A2).
    /// </summary>
    public void Disconnected(ClientProcess process)
    {
        process.IsDisconnected = true;
        EndIfDone(process);
    }

    /// <summary>Forgets a process that is not connected and has nothing.</summary>
    public void EndIfDone(ClientProcess process)
    {
        if (!process.IsDisconnected)
            return;
        Ended(process, onlyIdle: true);
        _watcher.Forget(process);
    }

    /// <summary>The memory is going: nothing in it is given to anybody else any more.</summary>
    public void Dispose()
    {
        ClientProcess[] left;
        lock (_processes)
        {
            _closed = true;
            left = [.. _processes.Values];
        }

        foreach (var process in left)
            Ended(process);
        _watcher.Dispose();
    }

    private static unsafe ucred? PeerOf(Socket socket)
    {
        ucred peer;
        uint length = (uint)sizeof(ucred);
        return LibC.getsockopt((int)socket.Handle, LibC.SOL_SOCKET, LibC.SO_PEERCRED, &peer, &length) == 0
            ? peer
            : null;
    }

    private bool MayWrite(in ucred peer) => _limits.Writes switch
    {
        ClientWrites.Off => false,
        _ when peer.uid == 0 || peer.uid == LibC.geteuid() => true,
        ClientWrites.Group => peer.gid == LibC.getegid(),
        _ => false,
    };

    private void Ended(ClientProcess process) => Ended(process, onlyIdle: false);

    private void Ended(ClientProcess process, bool onlyIdle)
    {
        var (views, _, reserved) = process.Usage;
        if (!process.TryEnd(onlyIdle))
            return;
        Drop(process);
        if (views > 0 || reserved > 0)
        {
            _log.LogWarning("client_ended pid={Pid} views={Views} reserved_bytes={Reserved}", process.Pid, views,
                reserved);
        }

        OnEnd?.Invoke(process);
    }

    private void Drop(ClientProcess process)
    {
        lock (_processes)
            _processes.Remove(process.Token);
    }
}

/// <summary>What processes of the host have of a node's memory.</summary>
/// <param name="Processes">Processes that have opened it.</param>
/// <param name="Views">Their views.</param>
/// <param name="ViewBytes">Bytes in these.</param>
/// <param name="ReservedBytes">Bytes of reservations they are filling.</param>
internal readonly record struct ClientUsage(int Processes, int Views, long ViewBytes, long ReservedBytes);

// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>
/// Says when processes end: one thread that polls a descriptor of each (pidfd). A closed socket would not do, as a
/// process can lose its connection and write on. Thread-safe.
/// </summary>
internal sealed unsafe class ProcessWatcher : IDisposable
{
    private readonly Lock _gate = new();
    private readonly List<(int Fd, ClientProcess Process)> _watched = [];
    private readonly Action<ClientProcess> _ended;
    private int _wake = -1;
    private bool _closed;

    /// <param name="ended">Told of each watched process that has ended, on the watcher's thread.</param>
    public ProcessWatcher(Action<ClientProcess> ended) => _ended = ended;

    /// <summary>A descriptor of the process behind a connection; -1 when there is none to be had.</summary>
    public static int Open(int socket, int pid)
    {
        if (pid <= 0)
            return -1;
        int fd = (int)LibC.pidfd_open(LibC.SYS_pidfd_open, pid, 0);
        if (fd < 0)
            return -1;

        // The number may have been given to another process by now; then the one that connected has hung up.
        var poll = new pollfd { fd = socket, events = LibC.POLLIN };
        if (LibC.poll(&poll, 1, 0) >= 0 && (poll.revents & LibC.POLLHUP) == 0)
            return fd;
        _ = LibC.close(fd);
        return -1;
    }

    /// <summary>Watches a process; the descriptor is the watcher's to close from now on.</summary>
    /// <returns>False when the watcher is closed or the system refuses: the descriptor is closed.</returns>
    public bool TryWatch(int fd, ClientProcess process)
    {
        lock (_gate)
        {
            if (!_closed && (_wake >= 0 || TryStart()))
            {
                _watched.Add((fd, process));
                Wake();
                return true;
            }
        }

        _ = LibC.close(fd);
        return false;
    }

    /// <summary>Watches a process that is gone no longer.</summary>
    public void Forget(ClientProcess process)
    {
        lock (_gate)
        {
            // The descriptor is closed by the thread, which may be polling it.
            if (process.IsGone && _wake >= 0)
                Wake();
        }
    }

    /// <summary>Ends the thread soon.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _closed = true;
            if (_wake >= 0)
                Wake();
        }
    }

    private bool TryStart()
    {
        _wake = LibC.eventfd(0, LibC.EFD_CLOEXEC);
        if (_wake < 0)
            return false;
        new Thread(Watch, 256 * 1024) { IsBackground = true, Name = "mesh-clients" }.Start();
        return true;
    }

    private void Wake()
    {
        ulong one = 1;
        _ = LibC.write(_wake, &one, sizeof(ulong));
    }

    private void Watch()
    {
        var polled = new pollfd[1 + ClientLimits.Processes];
        while (true)
        {
            int count = Fill(polled);
            if (count == 0)
                return;
            int ready;
            fixed (pollfd* first = polled)
                ready = LibC.poll(first, (nuint)count, -1);
            if (ready < 0)
            {
                // Interrupted, or short of memory for the moment.
                Thread.Sleep(1);
                continue;
            }

            ulong ignored;
            if (polled[0].revents != 0)
                _ = LibC.read(_wake, &ignored, sizeof(ulong));
            for (int i = 1; i < count; i++)
            {
                if (polled[i].revents != 0 && TakeOut(polled[i].fd) is { } process)
                    _ended(process);
            }
        }
    }

    /// <summary>Lists what is to be polled, without those that are gone; 0 when the watcher has been closed.</summary>
    private int Fill(pollfd[] polled)
    {
        lock (_gate)
        {
            for (int i = _watched.Count - 1; i >= 0; i--)
            {
                if (!_closed && !_watched[i].Process.IsGone)
                    continue;
                _ = LibC.close(_watched[i].Fd);
                _watched.RemoveAt(i);
            }

            if (_closed)
            {
                _ = LibC.close(_wake);
                _wake = -1;
                return 0;
            }

            polled[0] = new pollfd { fd = _wake, events = LibC.POLLIN };
            for (int i = 0; i < _watched.Count; i++)
                polled[i + 1] = new pollfd { fd = _watched[i].Fd, events = LibC.POLLIN };
            return _watched.Count + 1;
        }
    }

    private ClientProcess? TakeOut(int fd)
    {
        lock (_gate)
        {
            int at = _watched.FindIndex(w => w.Fd == fd);
            if (at < 0)
                return null;
            var process = _watched[at].Process;
            _watched.RemoveAt(at);
            _ = LibC.close(fd);
            return process;
        }
    }
}

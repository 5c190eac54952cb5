// SPDX-License-Identifier: Apache-2.0

using Etcdserverpb;
using Google.Protobuf;
using Grpc.Core;
using Mvccpb;

namespace Mooncake.Mesh.Membership;

/// <summary>
/// The registry kept in etcd 3.4 or later. dotnet-etcd makes the connection and the unary calls; watch and keep-alive
/// are raw streams, because its own managers have no deadline, survive no compaction and write to stdout.
/// </summary>
public sealed class EtcdRegistry : IMeshRegistry
{
    private const int PageSize = 256;
    private const int MaxPages = 1024;
    private const int MaxListAttempts = 3;

    private readonly EtcdConnection _connection;
    private readonly MeshRuntime _runtime;
    private readonly TimeSpan _callDeadline;
    private readonly string _prefix;
    private readonly string _where;

    private EtcdRegistry(EtcdConnection connection, EtcdRegistryOptions options, MeshRuntime runtime)
    {
        _connection = connection;
        _runtime = runtime;
        _callDeadline = options.CallDeadline;
        _prefix = $"/mooncake-mesh/{options.Cluster}/";
        _where = $"etcd.endpoints {options.Endpoints}";
    }

    /// <summary>The prefix of every key of this mesh.</summary>
    public string Prefix => _prefix;

    /// <summary>Makes the registry; connects on its first call.</summary>
    /// <returns>The registry, or the first error of <see cref="EtcdRegistryOptions.Validate"/> or of a file.</returns>
    public static MeshResult<EtcdRegistry> Create(EtcdRegistryOptions options, MeshRuntime runtime)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(runtime);
        var connection = EtcdConnection.Create(options);
        return connection.Error is { } error ? error : new EtcdRegistry(connection.Value, options, runtime);
    }

    /// <inheritdoc/>
    public async Task<RegistryListing> ListAsync(CancellationToken cancel)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await ListOnceAsync(cancel);
            }
            catch (RegistryException e) when (attempt < MaxListAttempts && e.Failure == RegistryFailure.Refused &&
                e.InnerException is RpcException { StatusCode: StatusCode.OutOfRange })
            {
                // The revision of the first page was compacted before the last page: start over.
            }
        }
    }

    /// <inheritdoc/>
    public async Task<WatchEnd> WatchAsync(
        long fromRevision, Action<IReadOnlyList<RegistryEvent>> onEvents, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(onEvents);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        // The call deadline covers the start alone: it is lifted at etcd's first answer.
        using var start = new CancellationTokenSource(_callDeadline, _runtime.Time);
        using var registration = start.Token.Register(
            static state => ((CancellationTokenSource)state!).Cancel(), limited);
        try
        {
            var headers = await _connection.HeadersAsync(limited.Token);
            // Without it a member cut off from its leader keeps a watch open for ever.
            headers.Add("hasleader", "true");
            using var call = _connection.Client.GetConnection().WatchClient.Watch(headers, null, limited.Token);
            await call.RequestStream.WriteAsync(new WatchRequest
            {
                CreateRequest = new WatchCreateRequest
                {
                    Key = Bytes(_prefix),
                    RangeEnd = PrefixEnd(),
                    StartRevision = fromRevision,
                },
            }, limited.Token);
            while (await call.ResponseStream.MoveNext(limited.Token))
            {
                start.CancelAfter(Timeout.InfiniteTimeSpan);
                var response = call.ResponseStream.Current;
                if (response.Canceled)
                    return response.CompactRevision > 0 ? WatchEnd.Compacted : Ended(response.CancelReason);
                if (response.Events.Count > 0)
                    onEvents([.. response.Events.Select(ToEvent)]);
            }
        }
        catch (Exception) when (cancel.IsCancellationRequested)
        {
            cancel.ThrowIfCancellationRequested();
        }
        catch (Exception e) when (IsTransport(e))
        {
            if (EtcdErrors.IsStaleToken(e))
                _connection.ForgetToken();
        }

        return WatchEnd.Broken;
    }

    /// <inheritdoc/>
    public async Task<RegistryLease> GrantLeaseAsync(TimeSpan timeToLive, CancellationToken cancel)
    {
        var request = new LeaseGrantRequest { TTL = Math.Max(1, (long)Math.Ceiling(timeToLive.TotalSeconds)) };
        var answer = await CallAsync("grant lease", (headers, token) =>
            _connection.Client.LeaseGrantAsync(request, headers, null, token), cancel);
        return new RegistryLease(answer.ID, TimeSpan.FromSeconds(answer.TTL));
    }

    /// <inheritdoc/>
    public Task<TimeSpan?> KeepAliveAsync(long lease, CancellationToken cancel) =>
        CallAsync("keep lease alive", async (headers, token) =>
        {
            using var call = _connection.Client.GetConnection().LeaseClient.LeaseKeepAlive(headers, null, token);
            await call.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = lease }, token);
            if (!await call.ResponseStream.MoveNext(token))
                throw new RegistryException(RegistryFailure.Unavailable, "keep lease alive: the stream ended");
            long seconds = call.ResponseStream.Current.TTL;
            return seconds > 0 ? TimeSpan.FromSeconds(seconds) : (TimeSpan?)null;
        }, cancel);

    /// <inheritdoc/>
    public async Task RevokeLeaseAsync(long lease, CancellationToken cancel)
    {
        try
        {
            await CallAsync("revoke lease", (headers, token) =>
                _connection.Client.LeaseRevokeAsync(
                    new LeaseRevokeRequest { ID = lease }, headers, null, token), cancel);
        }
        catch (RegistryException e) when (e.Failure == RegistryFailure.LeaseNotFound)
        {
            // What was asked for is already so.
        }
    }

    /// <inheritdoc/>
    public async Task<RegistryWrite> WriteIfAsync(
        string key, byte[] value, long lease, long expectedModRevision, CancellationToken cancel)
    {
        var full = Bytes(_prefix + key);
        var request = new TxnRequest
        {
            Compare =
            {
                new Compare
                {
                    Key = full,
                    Target = Compare.Types.CompareTarget.Mod,
                    Result = Compare.Types.CompareResult.Equal,
                    ModRevision = expectedModRevision,
                },
            },
            Success =
            {
                new RequestOp
                {
                    RequestPut = new PutRequest { Key = full, Value = ByteString.CopyFrom(value), Lease = lease },
                },
            },
            Failure = { new RequestOp { RequestRange = new RangeRequest { Key = full } } },
        };
        var answer = await CallAsync("write " + key, (headers, token) =>
            _connection.Client.TransactionAsync(request, headers, null, token), cancel);
        if (answer.Succeeded)
            return new RegistryWrite(true, answer.Header.Revision, null);
        var kvs = answer.Responses[0].ResponseRange.Kvs;
        return new RegistryWrite(false, answer.Header.Revision, kvs.Count > 0 ? ToEntry(kvs[0]) : null);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _connection.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task<RegistryListing> ListOnceAsync(CancellationToken cancel)
    {
        var entries = new List<RegistryEntry>();
        var request = new RangeRequest { Key = Bytes(_prefix), RangeEnd = PrefixEnd(), Limit = PageSize };
        for (int page = 0; page < MaxPages; page++)
        {
            var answer = await CallAsync("list", (headers, token) =>
                _connection.Client.GetAsync(request, headers, null, token), cancel);
            // The first page is linearizable and fixes the revision of the others.
            if (page == 0)
                request.Revision = answer.Header.Revision;
            entries.AddRange(answer.Kvs.Select(ToEntry));
            if (!answer.More || answer.Kvs.Count == 0)
                return new RegistryListing(request.Revision, entries);
            request.Key = ByteString.CopyFrom([.. answer.Kvs[^1].Key.Span, 0]);
        }

        throw new RegistryException(RegistryFailure.Refused, $"list: over {PageSize * MaxPages} keys below {_prefix}");
    }

    /// <summary>One call with its deadline; a stale token is renewed and the call repeated once.</summary>
    private async Task<T> CallAsync<T>(
        string name, Func<Metadata, CancellationToken, Task<T>> call, CancellationToken cancel)
    {
        using var deadline = new CancellationTokenSource(_callDeadline, _runtime.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancel, deadline.Token);
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                var headers = await _connection.HeadersAsync(linked.Token);
                return await call(headers, linked.Token);
            }
            catch (Exception) when (cancel.IsCancellationRequested)
            {
                throw new OperationCanceledException(cancel);
            }
            catch (Exception e) when (deadline.IsCancellationRequested)
            {
                throw new RegistryException(
                    RegistryFailure.Unavailable, $"{_where}: {name}: no answer in {_callDeadline}", e);
            }
            catch (Exception e) when (attempt == 1 && EtcdErrors.IsStaleToken(e) && _connection.ForgetToken())
            {
                // A stale token: once more with a fresh one.
            }
            catch (Exception e) when (IsTransport(e))
            {
                throw EtcdErrors.Map(e, $"{_where}: {name}");
            }
        }
    }

    /// <summary>
    /// What a broken connection throws: besides gRPC's own exception also those of the layers below it.
    /// </summary>
    private static bool IsTransport(Exception e) =>
        e is RpcException or RegistryException or IOException or HttpRequestException or OperationCanceledException
            or InvalidOperationException or ObjectDisposedException;

    private static WatchEnd Ended(string reason) =>
        reason.Contains("compacted", StringComparison.Ordinal) ? WatchEnd.Compacted : WatchEnd.Broken;

    private RegistryEvent ToEvent(Event change) =>
        new(change.Kv.ModRevision, KeyOf(change.Kv),
            change.Type == Event.Types.EventType.Delete ? null : ToEntry(change.Kv));

    private RegistryEntry ToEntry(KeyValue kv) => new(KeyOf(kv), kv.Value.ToByteArray(), kv.Lease, kv.ModRevision);

    private string KeyOf(KeyValue kv) => kv.Key.ToStringUtf8()[_prefix.Length..];

    private static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);

    /// <summary>The prefix ends in '/', whose successor is '0'.</summary>
    private ByteString PrefixEnd() => Bytes(_prefix[..^1] + "0");
}

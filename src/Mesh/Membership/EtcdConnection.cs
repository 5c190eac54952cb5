// SPDX-License-Identifier: Apache-2.0

using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using dotnet_etcd;
using Etcdserverpb;
using Grpc.Core;
using Grpc.Net.Client;

namespace Mooncake.Mesh.Membership;

/// <summary>The channel to etcd, with TLS and the token of the user. Thread-safe.</summary>
internal sealed class EtcdConnection : IDisposable
{
    private static readonly TimeSpan BackoffFrom = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan BackoffTo = TimeSpan.FromSeconds(2);

    // etcd closes connections that ping much more often; slower makes a hung etcd hold a watch for longer.
    private static readonly TimeSpan PingDelay = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(3);

    /// <summary>A page of the largest records, with room.</summary>
    private const int MaxMessageBytes = 64 * 1024 * 1024;

    private readonly string? _user;
    private readonly string? _passwordFile;
    private volatile string _password;
    private readonly List<X509Certificate2> _certificates = [];
    private volatile string? _token;

    private EtcdConnection(EtcdRegistryOptions options)
    {
        var endpoints = EtcdEndpoints.Parse(options.Endpoints).Value;
        _user = options.User;
        _passwordFile = options.PasswordFile;
        _password = _passwordFile is { } file ? File.ReadAllText(file).TrimEnd() : options.Password ?? "";
        // The plain constructor takes https endpoints and then speaks plaintext: TLS must go through the other one.
        Client = endpoints.Tls
            ? new EtcdClient(endpoints.ToString(), TlsOptions(options), configureChannelOptions: ConfigureChannel)
            : new EtcdClient(endpoints.ToString(), configureChannelOptions: ConfigureChannel);
    }

    public EtcdClient Client { get; }

    /// <summary>Opens no connection yet; reads the files the options name.</summary>
    public static MeshResult<EtcdConnection> Create(EtcdRegistryOptions options)
    {
        if (options.Validate() is [var error, ..])
            return error;
        try
        {
            return new EtcdConnection(options);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            return new MeshError(MeshErrorCode.InvalidArgument, "config:etcd",
                $"a password, certificate or key file cannot be used: {e.Message.ReplaceLineEndings(" ")}");
        }
    }

    /// <summary>The headers of a call: the user's token, fetched when there is none.</summary>
    public async Task<Metadata> HeadersAsync(CancellationToken cancel)
    {
        var headers = new Metadata();
        if (_user is null)
            return headers;
        string? token = _token;
        if (token is null)
        {
            // Two calls may fetch a token each; the last stays and both are good.
            using var call = Client.GetConnection().AuthClient.AuthenticateAsync(
                new AuthenticateRequest { Name = _user, Password = PasswordOfNow() }, cancellationToken: cancel);
            token = (await call.ResponseAsync).Token;
            _token = token;
        }

        headers.Add("token", token);
        return headers;
    }

    /// <summary>
    /// As the file has it now: a password that is changed in etcd and in the file needs no reload, since etcd takes the
    /// old tokens back. A file that cannot be read at this moment leaves what was read last.
    /// </summary>
    private string PasswordOfNow()
    {
        try
        {
            return _passwordFile is { } file ? _password = File.ReadAllText(file).TrimEnd() : _password;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return _password;
        }
    }

    /// <summary>Forgets the token; the next call fetches one.</summary>
    public bool ForgetToken()
    {
        _token = null;
        return _user is not null;
    }

    public void Dispose()
    {
        Client.Dispose();
        foreach (var certificate in _certificates)
            certificate.Dispose();
    }

    private static void ConfigureChannel(GrpcChannelOptions channel)
    {
        channel.InitialReconnectBackoff = BackoffFrom;
        channel.MaxReconnectBackoff = BackoffTo;
        channel.MaxReceiveMessageSize = MaxMessageBytes;
        if (channel.HttpHandler is SocketsHttpHandler handler)
        {
            handler.KeepAlivePingDelay = PingDelay;
            handler.KeepAlivePingTimeout = PingTimeout;
            handler.KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests;
        }
    }

    private Action<SslClientAuthenticationOptions> TlsOptions(EtcdRegistryOptions options)
    {
        var authorities = new X509Certificate2Collection();
        if (options.CaFile is { } caFile)
        {
            authorities.ImportFromPemFile(caFile);
            if (authorities.Count == 0)
                throw new CryptographicException($"'{caFile}' holds no certificate");
            _certificates.AddRange(authorities);
        }

        X509Certificate2? own = null;
        if (options.CertificateFile is { } certificateFile)
        {
            own = X509Certificate2.CreateFromPemFile(certificateFile, options.KeyFile);
            _certificates.Add(own);
        }

        return ssl =>
        {
            ssl.EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13;
            if (own is not null)
                ssl.ClientCertificates = [own];
            if (authorities.Count == 0)
                return;
            ssl.CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
            };
            ssl.CertificateChainPolicy.CustomTrustStore.AddRange(authorities);
        };
    }
}

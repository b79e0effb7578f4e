package ldap

import (
	"context"

	"jeton/internal/auth"
	"jeton/internal/backend"
)

// configView is the configuration as clients read it: without the password of the service
// account and without the client certificate. Contract: auth-methods §4.1.
type configView struct {
	URL               string          `json:"url"`
	UserDN            string          `json:"userdn"`
	UserAttr          string          `json:"userattr"`
	UserFilter        string          `json:"userfilter"`
	UPNDomain         string          `json:"upndomain"`
	SAMLogin          bool            `json:"enable_samaccountname_login"`
	DiscoverDN        bool            `json:"discoverdn"`
	DenyNullBind      bool            `json:"deny_null_bind"`
	GroupDN           string          `json:"groupdn"`
	GroupFilter       string          `json:"groupfilter"`
	GroupAttr         string          `json:"groupattr"`
	TokenGroups       bool            `json:"use_token_groups"`
	AnonymousGroups   bool            `json:"anonymous_group_search"`
	MaxPageSize       int             `json:"max_page_size"`
	UpperCN           bool            `json:"use_pre111_group_cn_behavior"`
	BindDN            string          `json:"binddn"`
	StartTLS          bool            `json:"starttls"`
	InsecureTLS       bool            `json:"insecure_tls"`
	TLSMin            string          `json:"tls_min_version"`
	TLSMax            string          `json:"tls_max_version"`
	Certificate       string          `json:"certificate"`
	RequestTimeout    backend.Seconds `json:"request_timeout"`
	ConnectionTimeout backend.Seconds `json:"connection_timeout"`
	Dereference       string          `json:"dereference_aliases"`
	CaseSensitive     bool            `json:"case_sensitive_names"`
	UsernameAsAlias   bool            `json:"username_as_alias"`
	auth.TokenView
}

func (m *Method) readConfig(ctx context.Context, _ *backend.Call, _ *backend.None) (*configView, error) {
	c, err := m.config(ctx)
	if err != nil {
		return nil, err
	}
	return &configView{
		URL: c.Server.URL, StartTLS: c.Server.StartTLS, InsecureTLS: c.Server.InsecureTLS,
		TLSMin: c.Server.TLSMin, TLSMax: c.Server.TLSMax, Certificate: c.Server.Certificate,
		RequestTimeout: backend.Seconds(c.Server.RequestTimeout), ConnectionTimeout: backend.Seconds(c.Server.ConnectionTimeout),
		Dereference: c.Server.Dereference, BindDN: c.Service.BindDN,
		UserDN: c.Users.DN, UserAttr: c.Users.Attribute, UserFilter: c.Users.Filter, UPNDomain: c.Users.UPNDomain,
		SAMLogin: c.Users.AlsoSAMName, DiscoverDN: c.Users.Discover, DenyNullBind: c.Users.DenyNullBind,
		GroupDN: c.Groups.DN, GroupFilter: c.Groups.Filter, GroupAttr: c.Groups.Attribute, TokenGroups: c.Groups.TokenGroups,
		AnonymousGroups: c.Groups.Anonymous, MaxPageSize: c.Groups.PageSize, UpperCN: c.Groups.UpperCN,
		CaseSensitive: c.Names.CaseSensitive, UsernameAsAlias: c.Names.UsernameAsAlias,
		TokenView: c.View(),
	}, nil
}
